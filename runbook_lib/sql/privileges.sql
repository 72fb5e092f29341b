-- What the session's role may do in this database: one row.
WITH places AS (
    SELECT n.oid, pg_catalog.quote_ident(n.nspname) AS name,
        pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS may_enter,
        pg_catalog.has_schema_privilege(n.oid, 'CREATE') AS may_create
    FROM pg_catalog.pg_namespace n
    WHERE pg_catalog.left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema'
), relations AS (
    SELECT c.oid, c.relkind, p.name || '.' || pg_catalog.quote_ident(c.relname) AS name,
        c.relkind IN ('r', 'p') AND c.relrowsecurity AND (c.relforcerowsecurity
            OR NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')) AS guarded,
        pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owned,
        CASE c.relkind WHEN 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
            ELSE pg_catalog.has_table_privilege(c.oid, 'SELECT') END AS may_read
    FROM pg_catalog.pg_class c
    JOIN places p ON p.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f', 'S')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
          WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
            AND d.deptype = 'e')
)
SELECT pg_catalog.quote_ident(r.rolname),
    pg_catalog.quote_ident(pg_catalog.current_database()),
    pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CONNECT'),
    ARRAY(SELECT name FROM places WHERE NOT may_enter ORDER BY 1),
    ARRAY(SELECT name FROM relations WHERE NOT may_read AND relkind IN ('r', 'p', 'm') ORDER BY 1),
    ARRAY(SELECT name FROM relations WHERE NOT may_read AND relkind = 'S' ORDER BY 1),
    ARRAY(SELECT name FROM relations
        WHERE guarded AND NOT (r.rolbypassrls OR r.rolsuper) ORDER BY 1),
    ARRAY(SELECT name FROM relations WHERE NOT owned AND relkind <> 'S' ORDER BY 1),
    ARRAY(SELECT name FROM places p WHERE NOT may_create AND (name = 'public'
        OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = p.oid)) ORDER BY 1),
    (SELECT pg_catalog.count(*) FROM relations WHERE relkind IN ('r', 'p'))
FROM pg_catalog.pg_roles r
WHERE r.rolname = current_user
