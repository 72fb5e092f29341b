-- The schema of one database as one JSON object, {"kind<colon>name" {aspect, text}}, PostgreSQL 11 to 18.
-- Any driver must be able to send this text as it is, so it holds no percent sign, no question
-- mark and no colon. Names are fully qualified because the caller sets search_path to pg_catalog.
-- Columns that older servers lack are read through to_jsonb().
WITH member AS (
    SELECT classid, objid
    FROM pg_catalog.pg_depend
    WHERE refclassid = CAST('pg_catalog.pg_extension' AS regclass) AND deptype = 'e'
), ns AS (
    SELECT n.oid, n.nspname, n.nspowner, n.nspacl,
        CASE WHEN n.nspname ~ '^[a-z_][a-z0-9_$]*$' THEN CAST(n.nspname AS text)
            ELSE '"' || replace(n.nspname, '"', '""') || '"' END AS name
    FROM pg_catalog.pg_namespace n
    WHERE left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (
            SELECT FROM member m
            WHERE m.classid = CAST('pg_catalog.pg_namespace' AS regclass) AND m.objid = n.oid)
), rel AS (
    SELECT c.oid, c.relkind, c.relowner, c.relacl, c.reltype, c.relpersistence, c.relrowsecurity,
        c.relforcerowsecurity, c.relreplident, c.reloptions, c.relispartition, c.relpartbound,
        c.reloftype, ns.name || '.' ||
        CASE WHEN c.relname ~ '^[a-z_][a-z0-9_$]*$' THEN CAST(c.relname AS text)
            ELSE '"' || replace(c.relname, '"', '""') || '"' END AS name
    FROM pg_catalog.pg_class c
    JOIN ns ON ns.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'c', 'i', 'I')
        AND NOT EXISTS (
            SELECT FROM member m
            WHERE m.classid = CAST('pg_catalog.pg_class' AS regclass) AND m.objid = c.oid)
), typ AS (
    SELECT t.oid, t.typtype, t.typowner, t.typacl, t.typrelid, t.typbasetype, t.typtypmod,
        t.typnotnull, t.typdefault, t.typcollation, ns.name || '.' ||
        CASE WHEN t.typname ~ '^[a-z_][a-z0-9_$]*$' THEN CAST(t.typname AS text)
            ELSE '"' || replace(t.typname, '"', '""') || '"' END AS name
    FROM pg_catalog.pg_type t
    JOIN ns ON ns.oid = t.typnamespace
    LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
    WHERE (t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND c.relkind = 'c')
            OR (t.typtype = 'b' AND t.typcategory <> 'A'))
        AND NOT EXISTS (
            SELECT FROM member m
            WHERE m.classid = CAST('pg_catalog.pg_type' AS regclass) AND m.objid = t.oid)
), fun AS (
    SELECT p.oid, p.prokind, p.proowner, p.proacl, ns.name || '.' ||
        CASE WHEN p.proname ~ '^[a-z_][a-z0-9_$]*$' THEN CAST(p.proname AS text)
            ELSE '"' || replace(p.proname, '"', '""') || '"' END
        || '(' || oidvectortypes(p.proargtypes) || ')' AS name,
        CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END
        AS kind
    FROM pg_catalog.pg_proc p
    JOIN ns ON ns.oid = p.pronamespace
    WHERE NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = CAST('pg_catalog.pg_proc' AS regclass) AND d.objid = p.oid
                AND d.deptype IN ('e', 'i'))
), seq AS (
    SELECT s.seqrelid, d.deptype, d.refobjid, d.refobjsubid,
        format_type(s.seqtypid, NULL) AS type, s.seqstart, s.seqincrement, s.seqmin, s.seqmax,
        s.seqcache, s.seqcycle
    FROM pg_catalog.pg_sequence s
    LEFT JOIN pg_catalog.pg_depend d ON d.objid = s.seqrelid
        AND d.classid = CAST('pg_catalog.pg_class' AS regclass) AND d.objsubid = 0
        AND d.refclassid = CAST('pg_catalog.pg_class' AS regclass) AND d.refobjsubid > 0
        AND d.deptype IN ('a', 'i')
), object AS (
    -- schemas
    SELECT 'schema' AS kind, ns.name, json_build_object('comment', d.description) AS aspects
    FROM ns
    LEFT JOIN pg_catalog.pg_description d ON d.objoid = ns.oid AND d.objsubid = 0
        AND d.classoid = CAST('pg_catalog.pg_namespace' AS regclass)
        AND NOT (ns.nspname = 'public' AND d.description = 'standard public schema')

    UNION ALL -- extensions
    SELECT 'extension', CAST(e.extname AS text),
        json_build_object('schema', CASE WHEN n.nspname <> 'pg_catalog' THEN n.nspname END)
    FROM pg_catalog.pg_extension e
    JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace

    UNION ALL -- enum, composite, range and base types; domains
    SELECT CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END, t.name,
        json_build_object(
            'kind', CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'c' THEN 'composite'
                WHEN 'r' THEN 'range' WHEN 'b' THEN 'base' END,
            'type', CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
            'nullable', CASE WHEN t.typtype = 'd' THEN
                CASE WHEN t.typnotnull THEN 'no' ELSE 'yes' END END,
            'default', CASE WHEN t.typtype = 'd' THEN t.typdefault END,
            'checks', CASE WHEN t.typtype = 'd' THEN (
                SELECT string_agg('CONSTRAINT ' || quote_ident(k.conname) || ' '
                    || pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname)
                FROM pg_catalog.pg_constraint k
                WHERE k.contypid = t.oid AND k.contype = 'c') END,
            'attributes', CASE WHEN t.typtype = 'c' THEN (
                SELECT string_agg(quote_ident(a.attname) || ' '
                    || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
                FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) END,
            'subtype', CASE WHEN t.typtype = 'r' THEN (
                SELECT format_type(r.rngsubtype, NULL)
                FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid) END,
            'comment', d.description)
    FROM typ t
    LEFT JOIN pg_catalog.pg_description d ON d.objoid = t.oid AND d.objsubid = 0
        AND d.classoid = CAST('pg_catalog.pg_type' AS regclass)

    UNION ALL -- values of enum types
    SELECT 'label', t.name || '.' ||
        CASE WHEN l.enumlabel ~ '^[a-z_][a-z0-9_$]*$' THEN CAST(l.enumlabel AS text)
            ELSE '"' || replace(l.enumlabel, '"', '""') || '"' END,
        CAST('{}' AS json)
    FROM pg_catalog.pg_enum l
    JOIN typ t ON t.oid = l.enumtypid

    UNION ALL -- sequences; those of identity columns are the column's business
    SELECT 'sequence', r.name,
        json_build_object(
            'type', s.type, 'start', CAST(s.seqstart AS text),
            'increment', CAST(s.seqincrement AS text), 'min', CAST(s.seqmin AS text),
            'max', CAST(s.seqmax AS text), 'cache', CAST(s.seqcache AS text),
            'cycle', CASE WHEN s.seqcycle THEN 'yes' ELSE 'no' END,
            'owned_by', o.name || '.' ||
                CASE WHEN a.attname ~ '^[a-z_][a-z0-9_$]*$' THEN CAST(a.attname AS text)
                    ELSE '"' || replace(a.attname, '"', '""') || '"' END,
            'persistence', CASE r.relpersistence WHEN 'u' THEN 'unlogged' END,
            'comment', d.description)
    FROM seq s
    JOIN rel r ON r.oid = s.seqrelid
    LEFT JOIN rel o ON o.oid = s.refobjid
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = s.refobjid AND a.attnum = s.refobjsubid
    LEFT JOIN pg_catalog.pg_description d ON d.objoid = r.oid AND d.objsubid = 0
        AND d.classoid = CAST('pg_catalog.pg_class' AS regclass)
    WHERE s.deptype IS DISTINCT FROM 'i'

    UNION ALL -- tables and foreign tables
    SELECT CASE r.relkind WHEN 'f' THEN 'foreign_table' ELSE 'table' END, r.name,
        json_build_object(
            'persistence', CASE r.relpersistence WHEN 'u' THEN 'unlogged' END,
            'partition_by', CASE WHEN r.relkind = 'p' THEN pg_get_partkeydef(r.oid) END,
            'partition_of', CASE WHEN r.relispartition THEN (
                SELECT p.name FROM pg_catalog.pg_inherits i JOIN rel p ON p.oid = i.inhparent
                WHERE i.inhrelid = r.oid) END,
            'bound', CASE WHEN r.relispartition THEN pg_get_expr(r.relpartbound, r.oid) END,
            'inherits', CASE WHEN NOT r.relispartition THEN i.parents END,
            'of_type', CASE WHEN r.reloftype <> 0 THEN format_type(r.reloftype, NULL) END,
            'server', CASE WHEN r.relkind = 'f' THEN (
                SELECT concat_ws(' ', quote_ident(s.srvname), CAST(f.ftoptions AS text))
                FROM pg_catalog.pg_foreign_table f
                JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver
                WHERE f.ftrelid = r.oid) END,
            'row_security', CASE WHEN r.relforcerowsecurity AND r.relrowsecurity
                THEN 'enabled, forced' WHEN r.relforcerowsecurity THEN 'forced'
                WHEN r.relrowsecurity THEN 'enabled' END,
            'replica_identity', CASE r.relreplident WHEN 'n' THEN 'NOTHING' WHEN 'f' THEN 'FULL'
                WHEN 'i' THEN (
                    SELECT 'USING INDEX ' || quote_ident(x.relname)
                    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
                    WHERE i.indrelid = r.oid AND i.indisreplident) END,
            'options', array_to_string(r.reloptions, ', '),
            'comment', d.description)
    FROM rel r
    LEFT JOIN (
        SELECT i.inhrelid, string_agg(p.name, ', ' ORDER BY i.inhseqno) AS parents
        FROM pg_catalog.pg_inherits i
        JOIN rel p ON p.oid = i.inhparent
        GROUP BY i.inhrelid
    ) i ON i.inhrelid = r.oid
    LEFT JOIN pg_catalog.pg_description d ON d.objoid = r.oid AND d.objsubid = 0
        AND d.classoid = CAST('pg_catalog.pg_class' AS regclass)
    WHERE r.relkind IN ('r', 'p', 'f')

    UNION ALL -- columns, but not those that a parent table hands down
    SELECT 'column', r.name || '.' ||
        CASE WHEN a.attname ~ '^[a-z_][a-z0-9_$]*$' THEN CAST(a.attname AS text)
            ELSE '"' || replace(a.attname, '"', '""') || '"' END,
        json_build_object(
            'type', format_type(a.atttypid, a.atttypmod),
            'nullable', CASE WHEN a.attnotnull THEN 'no' ELSE 'yes' END,
            'default', CASE WHEN x.generated IS NULL THEN x.expression END,
            'generated', '(' || x.expression || ')' || x.generated,
            'identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END,
            'identity_options', CASE WHEN a.attidentity <> '' THEN (
                SELECT concat('INCREMENT BY ', s.seqincrement, ' MINVALUE ', s.seqmin,
                    ' MAXVALUE ', s.seqmax, ' START WITH ', s.seqstart, ' CACHE ', s.seqcache,
                    CASE WHEN s.seqcycle THEN ' CYCLE' END)
                FROM seq s
                WHERE s.refobjid = a.attrelid AND s.refobjsubid = a.attnum AND s.deptype = 'i'
                    AND NOT (s.seqstart = 1 AND s.seqincrement = 1 AND s.seqmin = 1
                        AND s.seqcache = 1 AND NOT s.seqcycle AND s.seqmax = CASE s.type
                        WHEN 'smallint' THEN 32767 WHEN 'integer' THEN 2147483647
                        ELSE 9223372036854775807 END)) END,
            'collation', CASE WHEN a.attcollation <> t.typcollation THEN (
                SELECT quote_ident(n.nspname) || '.' || quote_ident(c.collname)
                FROM pg_catalog.pg_collation c
                JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
                WHERE c.oid = a.attcollation) END,
            'storage', CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage
                WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external' WHEN 'm' THEN 'main'
                ELSE 'extended' END END,
            'comment', d.description)
    FROM rel r
    JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN (
        SELECT f.adrelid, f.adnum, pg_get_expr(f.adbin, f.adrelid) AS expression,
            CASE to_jsonb(g) ->> 'attgenerated' WHEN 's' THEN ' STORED'
                WHEN 'v' THEN ' VIRTUAL' END AS generated
        FROM pg_catalog.pg_attrdef f
        JOIN pg_catalog.pg_attribute g ON g.attrelid = f.adrelid AND g.attnum = f.adnum
    ) x ON x.adrelid = a.attrelid AND x.adnum = a.attnum
    LEFT JOIN pg_catalog.pg_description d ON d.objoid = a.attrelid AND d.objsubid = a.attnum
        AND d.classoid = CAST('pg_catalog.pg_class' AS regclass)
    WHERE r.relkind IN ('r', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped AND a.attislocal

    UNION ALL -- constraints; NOT NULL is an aspect of the column
    SELECT 'constraint', r.name || '.' ||
        CASE WHEN k.conname ~ '^[a-z_][a-z0-9_$]*$' THEN CAST(k.conname AS text)
            ELSE '"' || replace(k.conname, '"', '""') || '"' END,
        json_build_object(
            'type', CASE k.contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique'
                WHEN 'f' THEN 'foreign key' WHEN 'c' THEN 'check' WHEN 'x' THEN 'exclusion' END,
            'definition', CASE WHEN k.convalidated THEN pg_get_constraintdef(k.oid)
                ELSE regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '') END,
            'validated', CASE WHEN k.convalidated THEN 'yes' ELSE 'no' END,
            'comment', d.description)
    FROM rel r
    JOIN pg_catalog.pg_constraint k ON k.conrelid = r.oid
    LEFT JOIN pg_catalog.pg_description d ON d.objoid = k.oid AND d.objsubid = 0
        AND d.classoid = CAST('pg_catalog.pg_constraint' AS regclass)
    WHERE k.contype IN ('p', 'u', 'f', 'c', 'x') AND k.conislocal AND k.conparentid = 0

    UNION ALL -- indexes that no constraint owns and no parent index hands down
    SELECT 'index', r.name,
        json_build_object(
            'table', o.name,
            'unique', CASE WHEN i.indisunique THEN 'yes' END,
            'definition', substr(x.definition, strpos(x.definition, ' USING ') + 7),
            'valid', CASE WHEN i.indisvalid THEN 'yes' ELSE 'no' END,
            'comment', d.description)
    FROM pg_catalog.pg_index i
    JOIN rel r ON r.oid = i.indexrelid AND NOT r.relispartition
    JOIN rel o ON o.oid = i.indrelid
    LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = i.indexrelid
        AND k.contype IN ('p', 'u', 'x') AND k.conrelid = i.indrelid
    CROSS JOIN LATERAL (SELECT pg_get_indexdef(i.indexrelid) AS definition OFFSET 0) x
    LEFT JOIN pg_catalog.pg_description d ON d.objoid = r.oid AND d.objsubid = 0
        AND d.classoid = CAST('pg_catalog.pg_class' AS regclass)
    WHERE k.oid IS NULL

    UNION ALL -- views and materialized views
    SELECT CASE r.relkind WHEN 'm' THEN 'materialized_view' ELSE 'view' END, r.name,
        json_build_object(
            'definition', rtrim(pg_get_viewdef(r.oid, true), ';'),
            'options', array_to_string(r.reloptions, ', '),
            'comment', d.description)
    FROM rel r
    LEFT JOIN pg_catalog.pg_description d ON d.objoid = r.oid AND d.objsubid = 0
        AND d.classoid = CAST('pg_catalog.pg_class' AS regclass)
    WHERE r.relkind IN ('v', 'm')

    UNION ALL -- functions, procedures, aggregates
    SELECT f.kind, f.name,
        json_build_object(
            'definition', CASE WHEN f.prokind <> 'a' THEN pg_get_functiondef(f.oid) ELSE (
                SELECT concat('SFUNC = ', CAST(g.aggtransfn AS text), ', STYPE = ',
                    format_type(g.aggtranstype, NULL), ', FINALFUNC = '
                    || CAST(NULLIF(CAST(CAST(g.aggfinalfn AS oid) AS bigint), 0) AS regproc),
                    ', INITCOND = ' || quote_literal(g.agginitval))
                FROM pg_catalog.pg_aggregate g WHERE g.aggfnoid = f.oid) END,
            'comment', d.description)
    FROM fun f
    LEFT JOIN pg_catalog.pg_description d ON d.objoid = f.oid AND d.objsubid = 0
        AND d.classoid = CAST('pg_catalog.pg_proc' AS regclass)

    UNION ALL -- triggers, but not those that a partitioned parent hands down
    SELECT 'trigger', r.name || '.' ||
        CASE WHEN t.tgname ~ '^[a-z_][a-z0-9_$]*$' THEN CAST(t.tgname AS text)
            ELSE '"' || replace(t.tgname, '"', '""') || '"' END,
        json_build_object(
            'definition', pg_get_triggerdef(t.oid),
            'enabled', CASE t.tgenabled WHEN 'O' THEN 'yes' WHEN 'D' THEN 'no'
                WHEN 'R' THEN 'replica' ELSE 'always' END,
            'comment', d.description)
    FROM pg_catalog.pg_trigger t
    JOIN rel r ON r.oid = t.tgrelid
    LEFT JOIN pg_catalog.pg_description d ON d.objoid = t.oid AND d.objsubid = 0
        AND d.classoid = CAST('pg_catalog.pg_trigger' AS regclass)
    WHERE NOT t.tgisinternal AND COALESCE(to_jsonb(t) ->> 'tgparentid', '0') = '0'

    UNION ALL -- rules other than the one that makes a view
    SELECT 'rule', r.name || '.' ||
        CASE WHEN w.rulename ~ '^[a-z_][a-z0-9_$]*$' THEN CAST(w.rulename AS text)
            ELSE '"' || replace(w.rulename, '"', '""') || '"' END,
        json_build_object('definition', pg_get_ruledef(w.oid),
            'enabled', CASE w.ev_enabled WHEN 'O' THEN 'yes' WHEN 'D' THEN 'no'
                WHEN 'R' THEN 'replica' ELSE 'always' END,
            'comment', d.description)
    FROM pg_catalog.pg_rewrite w
    JOIN rel r ON r.oid = w.ev_class
    LEFT JOIN pg_catalog.pg_description d ON d.objoid = w.oid AND d.objsubid = 0
        AND d.classoid = CAST('pg_catalog.pg_rewrite' AS regclass)
    WHERE w.rulename <> '_RETURN'

    UNION ALL -- row security policies
    SELECT 'policy', r.name || '.' ||
        CASE WHEN p.polname ~ '^[a-z_][a-z0-9_$]*$' THEN CAST(p.polname AS text)
            ELSE '"' || replace(p.polname, '"', '""') || '"' END,
        json_build_object(
            'permissive', CASE WHEN p.polpermissive THEN 'yes' ELSE 'no' END,
            'command', CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT'
                WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
            'roles', (
                SELECT string_agg(CASE WHEN o = 0 THEN 'PUBLIC'
                    ELSE quote_ident(pg_get_userbyid(o)) END, ', ' ORDER BY pg_get_userbyid(o))
                FROM unnest(p.polroles) o),
            'using', pg_get_expr(p.polqual, p.polrelid),
            'check', pg_get_expr(p.polwithcheck, p.polrelid),
            'comment', d.description)
    FROM pg_catalog.pg_policy p
    JOIN rel r ON r.oid = p.polrelid
    LEFT JOIN pg_catalog.pg_description d ON d.objoid = p.oid AND d.objsubid = 0
        AND d.classoid = CAST('pg_catalog.pg_policy' AS regclass)

    UNION ALL -- extended statistics
    SELECT 'statistics', ns.name || '.' ||
        CASE WHEN s.stxname ~ '^[a-z_][a-z0-9_$]*$' THEN CAST(s.stxname AS text)
            ELSE '"' || replace(s.stxname, '"', '""') || '"' END,
        json_build_object('table', r.name, 'definition', pg_get_statisticsobjdef(s.oid),
            'comment', d.description)
    FROM pg_catalog.pg_statistic_ext s
    JOIN ns ON ns.oid = s.stxnamespace
    JOIN rel r ON r.oid = s.stxrelid
    LEFT JOIN pg_catalog.pg_description d ON d.objoid = s.oid AND d.objsubid = 0
        AND d.classoid = CAST('pg_catalog.pg_statistic_ext' AS regclass)

    UNION ALL -- event triggers
    SELECT 'event_trigger',
        CASE WHEN e.evtname ~ '^[a-z_][a-z0-9_$]*$' THEN CAST(e.evtname AS text)
            ELSE '"' || replace(e.evtname, '"', '""') || '"' END,
        json_build_object('event', e.evtevent, 'function', CAST(e.evtfoid AS regprocedure),
            'tags', array_to_string(e.evttags, ', '),
            'enabled', CASE e.evtenabled WHEN 'O' THEN 'yes' WHEN 'D' THEN 'no'
                WHEN 'R' THEN 'replica' ELSE 'always' END)
    FROM pg_catalog.pg_event_trigger e
    WHERE NOT EXISTS (
        SELECT FROM member m
        WHERE m.classid = CAST('pg_catalog.pg_event_trigger' AS regclass) AND m.objid = e.oid)

    UNION ALL -- privileges, other than the owner's own and those that everybody has by default
    SELECT 'grant', g.name, json_object_agg(g.grantee, g.privileges)
    FROM (
        SELECT e.name,
            CASE WHEN e.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(e.grantee)) END
            AS grantee,
            string_agg(e.privilege || CASE WHEN e.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END,
                ', ' ORDER BY e.privilege) AS privileges
        FROM (
            SELECT DISTINCT p.name, x.grantee, x.privilege_type AS privilege, x.is_grantable
            FROM (
                SELECT CASE r.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized_view'
                    WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign_table' ELSE 'table' END
                    || chr(58) || r.name AS name, r.relacl AS acl, r.relowner AS owner
                FROM rel r WHERE r.relacl IS NOT NULL
                UNION ALL
                SELECT 'column' || chr(58) || r.name || '.' || quote_ident(a.attname), a.attacl,
                    r.relowner
                FROM pg_catalog.pg_attribute a JOIN rel r ON r.oid = a.attrelid
                WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
                UNION ALL
                SELECT 'schema' || chr(58) || ns.name, ns.nspacl, ns.nspowner
                FROM ns WHERE ns.nspacl IS NOT NULL
                UNION ALL
                SELECT 'type' || chr(58) || t.name, t.typacl, t.typowner
                FROM typ t WHERE t.typacl IS NOT NULL
                UNION ALL
                SELECT f.kind || chr(58) || f.name, f.proacl, f.proowner
                FROM fun f WHERE f.proacl IS NOT NULL
            ) p
            CROSS JOIN LATERAL aclexplode(p.acl) x
            WHERE x.grantee <> p.owner
                AND NOT (p.name = 'schema' || chr(58) || 'public' AND x.grantee = 0)
        ) e
        GROUP BY e.name, e.grantee
    ) g
    GROUP BY g.name
)
SELECT CAST(COALESCE(json_object_agg(o.kind || chr(58) || o.name, json_strip_nulls(o.aspects)),
    CAST('{}' AS json)) AS text)
FROM object o
