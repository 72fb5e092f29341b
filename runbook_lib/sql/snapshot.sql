-- The schema of one database as one JSON object of {key, {aspect, text}}, PostgreSQL 11 to 18.
-- Any driver must be able to send this text as it is, so it holds no percent sign, no question
-- mark, and no colon that a word follows. Names are fully qualified because the caller sets
-- search_path to pg_catalog. A keyword is not quoted in a key, for servers differ in what is one.
-- A column that an older server lacks is read where its name then means the default beside it.
-- Objects of users have an oid of 16384 or more. A snapshot runs after every revision of a
-- replay, and on catalogs of ten thousand tables, so what there is many of is spelled with care
-- for speed (texts are joined by hand) and the rest for reading (json_build_object). Where most
-- rows of a catalog are of users, the oid is compared as a bigint. An index would read the rows in
-- twice the time, and the planner takes it when the catalog's statistics are those of initdb.
WITH member AS (
    SELECT classid, objid
    FROM pg_catalog.pg_depend
    WHERE refclassid = CAST('pg_catalog.pg_extension' AS regclass) AND deptype = 'e'
), ns AS (
    SELECT n.oid, n.nspname, n.nspowner, n.nspacl,
        CASE WHEN quote_ident(n.nspname) = CAST(n.nspname AS text)
            OR n.nspname ~ '^[a-z_][a-z0-9_]*$'
            THEN CAST(n.nspname AS text) ELSE quote_ident(n.nspname) END AS name,
        quote_ident(n.nspname) AS ident
    FROM pg_catalog.pg_namespace n
    WHERE left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (
            SELECT FROM member m
            WHERE m.classid = CAST('pg_catalog.pg_namespace' AS regclass) AND m.objid = n.oid)
), rel AS (
    SELECT c.oid, c.relkind, c.relowner, c.relacl, c.reltype, c.relpersistence, c.relrowsecurity,
        c.relforcerowsecurity, c.relreplident, c.reloptions, c.relispartition, c.relpartbound,
        c.reloftype, c.relname, c.relkind IN ('r', 'p', 'f', 'v', 'm') AS has_columns,
        ns.ident, ns.name AS home, ns.name || '.' ||
        CASE WHEN quote_ident(c.relname) = CAST(c.relname AS text)
            OR c.relname ~ '^[a-z_][a-z0-9_]*$'
            THEN CAST(c.relname AS text) ELSE quote_ident(c.relname) END AS name
    FROM pg_catalog.pg_class c
    JOIN ns ON ns.oid = c.relnamespace
    WHERE CAST(c.oid AS bigint) >= 16384 AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'c')
        AND NOT EXISTS (
            SELECT FROM member m
            WHERE m.classid = CAST('pg_catalog.pg_class' AS regclass) AND m.objid = c.oid)
), typ AS (
    SELECT t.oid, t.typtype, t.typowner, t.typacl, t.typrelid, t.typbasetype, t.typtypmod,
        t.typnotnull, t.typdefault, t.typcollation, ns.name || '.' ||
        CASE WHEN quote_ident(t.typname) = CAST(t.typname AS text)
            OR t.typname ~ '^[a-z_][a-z0-9_]*$'
            THEN CAST(t.typname AS text) ELSE quote_ident(t.typname) END AS name
    FROM pg_catalog.pg_type t
    JOIN ns ON ns.oid = t.typnamespace
    LEFT JOIN rel c ON c.reltype = t.oid AND c.relkind = 'c'
    WHERE t.oid >= 16384 AND (t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND c.oid IS NOT NULL)
            OR (t.typtype = 'b' AND t.typcategory <> 'A'))
        AND NOT EXISTS (
            SELECT FROM member m
            WHERE m.classid = CAST('pg_catalog.pg_type' AS regclass) AND m.objid = t.oid)
), fun AS (
    SELECT p.oid, p.prokind, p.proparallel, p.proowner, p.proacl, ns.name || '.' ||
        CASE WHEN quote_ident(p.proname) = CAST(p.proname AS text)
            OR p.proname ~ '^[a-z_][a-z0-9_]*$'
            THEN CAST(p.proname AS text) ELSE quote_ident(p.proname) END
        || '(' || oidvectortypes(p.proargtypes) || ')' AS name,
        CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END
        AS kind
    FROM pg_catalog.pg_proc p
    JOIN ns ON ns.oid = p.pronamespace
    WHERE p.oid >= 16384 AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = CAST('pg_catalog.pg_proc' AS regclass) AND d.objid = p.oid
                AND d.deptype IN ('e', 'i'))
), seq AS (
    SELECT s.seqrelid, d.deptype, d.refobjid, d.refobjsubid, s.seqtypid,
        CASE WHEN s.seqincrement <> 1 OR s.seqmin <> 1 OR s.seqstart <> 1 OR s.seqcache <> 1
            OR s.seqcycle OR s.seqmax <> CASE s.seqtypid WHEN 21 THEN 32767
                WHEN 23 THEN 2147483647 ELSE 9223372036854775807 END
        THEN concat('INCREMENT BY ', s.seqincrement, ' MINVALUE ', s.seqmin, ' MAXVALUE ',
            s.seqmax, ' START WITH ', s.seqstart, ' CACHE ', s.seqcache,
            CASE WHEN s.seqcycle THEN ' CYCLE' ELSE ' NO CYCLE' END) END AS options
    FROM pg_catalog.pg_sequence s
    LEFT JOIN pg_catalog.pg_depend d ON d.objid = s.seqrelid
        AND d.classid = CAST('pg_catalog.pg_class' AS regclass) AND d.objsubid = 0
        AND d.refclassid = CAST('pg_catalog.pg_class' AS regclass) AND d.refobjsubid > 0
        AND d.deptype IN ('a', 'i')
    WHERE s.seqrelid >= 16384
), own AS (
    SELECT refobjid, refobjsubid, options
    FROM seq
    WHERE deptype = 'i' AND options IS NOT NULL
), note AS (
    SELECT objoid, classoid, objsubid, '"comment":' || to_json(description) AS comment
    FROM pg_catalog.pg_description
    WHERE objoid >= 16384
), def AS (
    -- only an expression with a column in it needs the table, and opening one is dear
    SELECT adrelid, adnum, pg_get_expr(adbin,
        CASE WHEN strpos(CAST(adbin AS text), '{VAR ') > 0 THEN adrelid ELSE 0 END) AS expression
    FROM pg_catalog.pg_attrdef
    WHERE CAST(adrelid AS bigint) >= 16384
    OFFSET 0
), att AS (
    -- One row for each table: the names and types of its columns by their number, dropped ones
    -- included, and its part of the answer. Keys and indexes look their columns up in it, so that
    -- ten thousand rows are hashed for them, and sorted in the end, instead of a hundred thousand.
    SELECT c.attrelid, array_agg(CAST(c.attname AS text) ORDER BY c.attnum) AS names,
        array_agg(c.atttypid ORDER BY c.attnum) AS types, bool_or(c.collated) AS collated,
        array_agg(c.attnum) FILTER (WHERE c.granted) AS granted,
        string_agg(c.object, ',' ORDER BY c.attnum) AS columns
    FROM (
        SELECT a.attrelid, a.attnum, a.attname, a.atttypid,
            a.attcollation <> t.typcollation AS collated,
            a.attacl IS NOT NULL AND NOT a.attisdropped AS granted,
            -- not those that a parent table hands down
            CASE WHEN a.attislocal AND NOT a.attisdropped AND r.relkind IN ('r', 'p', 'f') THEN
                '"column' || chr(58) || r.json || '.'
                || CASE WHEN quote_ident(a.attname) = CAST(a.attname AS text)
                    OR a.attname ~ '^[a-z_][a-z0-9_]*$' THEN CAST(a.attname AS text) || '"'
                    ELSE right(CAST(to_json(quote_ident(a.attname)) AS text), -1) END
                || CASE WHEN a.atttypid < 16384 THEN ': {"type":"'
                    || replace(format_type(a.atttypid, a.atttypmod), '"', chr(92) || '"') || '"'
                    ELSE ': {"type":' || to_json(format_type(a.atttypid, a.atttypmod)) END
                || CASE WHEN a.attnotnull THEN ',"nullable":"no"' ELSE ',"nullable":"yes"' END
                || CASE WHEN f.expression IS NULL THEN ''
                    WHEN a.generated = '' THEN ',"default":' || to_json(f.expression)
                    ELSE ',"generated":' || to_json('(' || f.expression
                        || CASE a.generated WHEN 's' THEN ') STORED' ELSE ') VIRTUAL' END) END
                || CASE WHEN a.attidentity = '' AND a.attcollation = t.typcollation
                    AND a.attstorage = t.typstorage THEN '' ELSE concat(
                    CASE a.attidentity WHEN 'a' THEN ',"identity":"always"'
                        WHEN 'd' THEN ',"identity":"by default"' END,
                    ',"identity_options":"' || (
                        SELECT s.options FROM own s
                        WHERE s.refobjid = a.attrelid AND s.refobjsubid = a.attnum) || '"',
                    CASE WHEN a.attcollation <> t.typcollation THEN (
                        SELECT ',"collation":'
                            || to_json(quote_ident(n.nspname) || '.' || quote_ident(c.collname))
                        FROM pg_catalog.pg_collation c
                        JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
                        WHERE c.oid = a.attcollation) END,
                    CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage
                        WHEN 'p' THEN ',"storage":"plain"' WHEN 'e' THEN ',"storage":"external"'
                        WHEN 'm' THEN ',"storage":"main"'
                        ELSE ',"storage":"extended"' END END) END
                || CASE WHEN d.comment IS NULL THEN '}' ELSE ',' || d.comment || '}' END
            END AS object
        FROM (SELECT CAST('' AS "char") AS attgenerated) older
        CROSS JOIN LATERAL (
            SELECT attrelid, attnum, attname, atttypid, atttypmod, attnotnull, attidentity, attacl,
                attcollation, attstorage, attislocal, attisdropped, atthasdef,
                attgenerated AS generated
            FROM pg_catalog.pg_attribute
            WHERE CAST(attrelid AS bigint) >= 16384 AND attnum > 0
        ) a
        JOIN (
            SELECT oid, relkind, has_columns, CASE WHEN strpos(name, '"') = 0 THEN name
                ELSE left(right(CAST(to_json(name) AS text), -1), -1) END AS json
            FROM rel
        ) r ON r.oid = a.attrelid
        LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
        LEFT JOIN def f ON f.adrelid = a.attrelid AND f.adnum = CASE WHEN a.atthasdef THEN a.attnum END
        LEFT JOIN note d ON d.objoid = a.attrelid AND d.objsubid = a.attnum
            AND d.classoid = CAST('pg_catalog.pg_class' AS regclass)
        WHERE r.has_columns
        OFFSET 0 -- sorts the texts instead of what they are made of
    ) c
    GROUP BY c.attrelid
), idx AS (
    SELECT i.*
    FROM (SELECT false AS indnullsnotdistinct) older
    CROSS JOIN LATERAL (
        SELECT indexrelid, indrelid, indisunique, indisvalid, indnatts, indkey[0] AS attnum,
            indclass[0] AS opclass, indcollation[0] AS collation,
            indnatts = 1 AND indpred IS NULL AND indexprs IS NULL AND indoption[0] = 0
            AND NOT indnullsnotdistinct AS plain
        FROM pg_catalog.pg_index
        WHERE CAST(indexrelid AS bigint) >= 16384
    ) i
), object AS (
    -- schemas
    SELECT 'schema' AS kind, ns.name, CAST('pg_catalog.pg_namespace' AS regclass) AS class,
        ns.oid, 0 AS sub, '{}' AS aspects
    FROM ns

    UNION ALL -- extensions
    SELECT 'extension', CAST(e.extname AS text), NULL, NULL, 0,
        CAST(json_strip_nulls(json_build_object('schema', CASE WHEN n.nspname <> 'pg_catalog' THEN n.nspname END)) AS text)
    FROM pg_catalog.pg_extension e
    JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace

    UNION ALL -- enum, composite, range and base types; domains
    SELECT CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END, t.name,
        CAST('pg_catalog.pg_type' AS regclass), t.oid, 0,
        CAST(json_strip_nulls(json_build_object(
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
                FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid) END)) AS text)
    FROM typ t

    UNION ALL -- values of enum types
    SELECT 'label', t.name || '.' ||
        CASE WHEN quote_ident(l.enumlabel) = CAST(l.enumlabel AS text)
            OR l.enumlabel ~ '^[a-z_][a-z0-9_]*$'
            THEN CAST(l.enumlabel AS text) ELSE quote_ident(l.enumlabel) END,
        NULL, t.oid, CAST(row_number() OVER (ORDER BY l.enumsortorder) AS integer), '{}'
    FROM pg_catalog.pg_enum l
    JOIN typ t ON t.oid = l.enumtypid

    UNION ALL -- sequences; those of identity columns are the column's business
    SELECT 'sequence', r.name, CAST('pg_catalog.pg_class' AS regclass), r.oid, 0,
        concat('{"type":"', format_type(s.seqtypid, NULL), '"',
            ',"options":"' || s.options || '"', ',"owned_by":' || to_json(o.name || '.' ||
                CASE WHEN a.names[s.refobjsubid] ~ '^[a-z_][a-z0-9_]*$'
                    THEN a.names[s.refobjsubid] ELSE quote_ident(a.names[s.refobjsubid]) END),
            CASE r.relpersistence WHEN 'u' THEN ',"persistence":"unlogged"' END, '}')
    FROM seq s
    JOIN rel r ON r.oid = s.seqrelid
    LEFT JOIN rel o ON o.oid = s.refobjid
    LEFT JOIN att a ON a.attrelid = s.refobjid
    WHERE s.deptype IS DISTINCT FROM 'i'

    UNION ALL -- tables and foreign tables
    SELECT CASE r.relkind WHEN 'f' THEN 'foreign_table' ELSE 'table' END, r.name,
        CAST('pg_catalog.pg_class' AS regclass), r.oid, 0,
        CASE WHEN r.relkind = 'r' AND r.relpersistence = 'p' AND r.relreplident = 'd'
            AND i.parents IS NULL AND r.reloptions IS NULL AND r.reloftype = 0
            AND NOT r.relrowsecurity AND NOT r.relforcerowsecurity THEN '{}' ELSE
        CAST(json_strip_nulls(json_build_object(
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
            'options', array_to_string(r.reloptions, ', '))) AS text) END
    FROM rel r
    LEFT JOIN (
        SELECT i.inhrelid, string_agg(p.name, ', ' ORDER BY i.inhseqno) AS parents
        FROM pg_catalog.pg_inherits i
        JOIN rel p ON p.oid = i.inhparent
        GROUP BY i.inhrelid
    ) i ON i.inhrelid = r.oid
    WHERE r.relkind IN ('r', 'p', 'f')

    UNION ALL -- columns, as they stand in the answer
    SELECT 'columns', NULL, NULL, a.attrelid, 1, a.columns
    FROM att a
    WHERE a.columns IS NOT NULL

    UNION ALL -- foreign keys and checks; NOT NULL is an aspect of the column
    SELECT 'constraint', r.name || '.' ||
        CASE WHEN quote_ident(k.conname) = CAST(k.conname AS text)
            OR k.conname ~ '^[a-z_][a-z0-9_]*$'
            THEN CAST(k.conname AS text) ELSE quote_ident(k.conname) END,
        CAST('pg_catalog.pg_constraint' AS regclass), k.oid, 0,
        CASE k.contype WHEN 'f' THEN '{"type":"foreign key"' ELSE '{"type":"check"' END
        || ',"definition":' || to_json(CASE
            -- the plain case is spelled here, as the function would, in less time
            WHEN k.contype = 'f' AND cardinality(k.conkey) = 1 AND k.convalidated
                AND NOT k.condeferrable AND k.confmatchtype = 's' AND k.confupdtype = 'a'
                AND k.confdeltype IN ('a', 'c')
            THEN concat('FOREIGN KEY (', quote_ident(a.names[k.conkey[1]]), ') REFERENCES ',
                f.ident, '.', quote_ident(f.relname), '(', quote_ident(b.names[k.confkey[1]]),
                CASE k.confdeltype WHEN 'a' THEN ')' ELSE ') ON DELETE CASCADE' END)
            WHEN k.convalidated THEN pg_get_constraintdef(k.oid)
            ELSE regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '') END)
        || CASE WHEN k.convalidated THEN ',"validated":"yes"}' ELSE ',"validated":"no"}' END
    FROM pg_catalog.pg_constraint k
    JOIN rel r ON r.oid = k.conrelid
    LEFT JOIN rel f ON f.oid = k.confrelid
    LEFT JOIN att a ON a.attrelid = k.conrelid
    LEFT JOIN att b ON b.attrelid = k.confrelid
    WHERE CAST(k.conrelid AS bigint) >= 16384 AND k.contype IN ('f', 'c')
        AND k.conislocal AND k.conparentid = 0

    UNION ALL -- indexes, and the keys that own one, unless a parent table hands them down
    SELECT CASE WHEN k.oid IS NULL THEN 'index' ELSE 'constraint' END,
        CASE WHEN k.oid IS NULL THEN o.home || '.' ||
            CASE WHEN quote_ident(r.relname) = CAST(r.relname AS text)
            OR r.relname ~ '^[a-z_][a-z0-9_]*$'
            THEN CAST(r.relname AS text) ELSE quote_ident(r.relname) END
            ELSE o.name || '.' ||
            CASE WHEN quote_ident(k.conname) = CAST(k.conname AS text)
            OR k.conname ~ '^[a-z_][a-z0-9_]*$'
            THEN CAST(k.conname AS text) ELSE quote_ident(k.conname) END END,
        CASE WHEN k.oid IS NULL THEN CAST('pg_catalog.pg_class' AS regclass)
            ELSE CAST('pg_catalog.pg_constraint' AS regclass) END, COALESCE(k.oid, r.oid), 0,
        CASE WHEN k.oid IS NULL THEN concat('{"table":', to_json(o.name),
            CASE WHEN i.indisunique THEN ',"unique":"yes"' END, ',"definition":',
            to_json(CASE
                WHEN i.plain AND r.reloptions IS NULL AND NOT a.collated
                    AND i.collation = c.typcollation AND (c.opcintype = a.types[i.attnum]
                        OR c.opcintype = 25 AND a.types[i.attnum] = 1043)
                THEN 'btree (' || quote_ident(a.names[i.attnum]) || ')'
                ELSE substr(pg_get_indexdef(i.indexrelid),
                    strpos(pg_get_indexdef(i.indexrelid), ' USING ') + 7) END),
            CASE WHEN i.indisvalid THEN ',"valid":"yes"}' ELSE ',"valid":"no"}' END)
        ELSE concat(CASE k.contype WHEN 'p' THEN '{"type":"primary key"'
                WHEN 'u' THEN '{"type":"unique"' ELSE '{"type":"exclusion"' END,
            ',"definition":', to_json(CASE
                WHEN i.plain AND NOT k.condeferrable AND k.contype <> 'x'
                THEN CASE k.contype WHEN 'p' THEN 'PRIMARY KEY (' ELSE 'UNIQUE (' END
                    || quote_ident(a.names[i.attnum]) || ')'
                ELSE pg_get_constraintdef(k.oid) END), ',"validated":"yes"}') END
    FROM idx i
    JOIN rel o ON o.oid = i.indrelid
    JOIN pg_catalog.pg_class r ON r.oid = i.indexrelid
    LEFT JOIN att a ON a.attrelid = i.indrelid
    LEFT JOIN (
        SELECT c.oid, c.opcintype, (
            SELECT t.typcollation FROM pg_catalog.pg_type t WHERE t.oid = c.opcintype)
            AS typcollation
        FROM pg_catalog.pg_opclass c
        WHERE c.opcdefault AND c.opcmethod = 403
    ) c ON c.oid = i.opclass
    LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = i.indexrelid
        AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
    WHERE CASE WHEN k.oid IS NULL THEN NOT r.relispartition
        ELSE k.conislocal AND k.conparentid = 0 END

    UNION ALL -- views and materialized views
    SELECT CASE r.relkind WHEN 'm' THEN 'materialized_view' ELSE 'view' END, r.name,
        CAST('pg_catalog.pg_class' AS regclass), r.oid, 0,
        CAST(json_strip_nulls(json_build_object(
            'definition', rtrim(pg_get_viewdef(r.oid, true), ';'),
            'options', array_to_string(r.reloptions, ', '))) AS text)
    FROM rel r
    WHERE r.relkind IN ('v', 'm')

    UNION ALL -- functions, procedures, aggregates
    SELECT f.kind, f.name, CAST('pg_catalog.pg_proc' AS regclass), f.oid, 0,
        CAST(json_strip_nulls(json_build_object(
            'definition', CASE WHEN f.prokind <> 'a' THEN pg_get_functiondef(f.oid) ELSE (
                SELECT concat('SFUNC = ', CAST(g.aggtransfn AS text), ', STYPE = ',
                    format_type(g.aggtranstype, NULL), ', FINALFUNC = '
                    || CAST(NULLIF(CAST(CAST(g.aggfinalfn AS oid) AS bigint), 0) AS regproc),
                    ', INITCOND = ' || quote_literal(g.agginitval))
                FROM pg_catalog.pg_aggregate g WHERE g.aggfnoid = f.oid) END,
            'more', CASE WHEN f.prokind = 'a' THEN (
                SELECT NULLIF(concat_ws(' ', NULLIF(CAST(g.aggkind AS text), 'n'),
                    NULLIF(CAST(g.aggcombinefn AS text), '-'), NULLIF(CAST(g.aggserialfn AS text), '-'),
                    NULLIF(CAST(g.aggmtransfn AS text), '-'), NULLIF(CAST(g.aggminvtransfn AS text), '-'),
                    NULLIF(CAST(g.aggmfinalfn AS text), '-'), g.aggminitval,
                    CASE WHEN g.aggfinalextra THEN 'FINALFUNC_EXTRA' END,
                    CASE WHEN g.aggsortop <> 0 THEN CAST(CAST(g.aggsortop AS regoperator) AS text) END,
                    CASE f.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' END), '')
                FROM pg_catalog.pg_aggregate g WHERE g.aggfnoid = f.oid) END)) AS text)
    FROM fun f

    UNION ALL -- triggers, but not those that a partitioned parent hands down
    SELECT 'trigger', r.name || '.' ||
        CASE WHEN quote_ident(t.tgname) = CAST(t.tgname AS text)
            OR t.tgname ~ '^[a-z_][a-z0-9_]*$'
            THEN CAST(t.tgname AS text) ELSE quote_ident(t.tgname) END,
        CAST('pg_catalog.pg_trigger' AS regclass), t.oid, 0,
        CAST(json_strip_nulls(json_build_object(
            'definition', pg_get_triggerdef(t.oid),
            'enabled', CASE t.tgenabled WHEN 'O' THEN 'yes' WHEN 'D' THEN 'no'
                WHEN 'R' THEN 'replica' ELSE 'always' END)) AS text)
    FROM (SELECT CAST(0 AS oid) AS tgparentid) older
    CROSS JOIN LATERAL (
        SELECT oid, tgname, tgrelid, tgenabled
        FROM pg_catalog.pg_trigger
        WHERE NOT tgisinternal AND tgparentid = 0
    ) t
    JOIN rel r ON r.oid = t.tgrelid

    UNION ALL -- rules other than the one that makes a view
    SELECT 'rule', r.name || '.' ||
        CASE WHEN quote_ident(w.rulename) = CAST(w.rulename AS text)
            OR w.rulename ~ '^[a-z_][a-z0-9_]*$'
            THEN CAST(w.rulename AS text) ELSE quote_ident(w.rulename) END,
        CAST('pg_catalog.pg_rewrite' AS regclass), w.oid, 0,
        CAST(json_strip_nulls(json_build_object('definition', pg_get_ruledef(w.oid),
            'enabled', CASE w.ev_enabled WHEN 'O' THEN 'yes' WHEN 'D' THEN 'no'
                WHEN 'R' THEN 'replica' ELSE 'always' END)) AS text)
    FROM pg_catalog.pg_rewrite w
    JOIN rel r ON r.oid = w.ev_class
    WHERE w.rulename <> '_RETURN'

    UNION ALL -- row security policies
    SELECT 'policy', r.name || '.' ||
        CASE WHEN quote_ident(p.polname) = CAST(p.polname AS text)
            OR p.polname ~ '^[a-z_][a-z0-9_]*$'
            THEN CAST(p.polname AS text) ELSE quote_ident(p.polname) END,
        CAST('pg_catalog.pg_policy' AS regclass), p.oid, 0,
        CAST(json_strip_nulls(json_build_object(
            'permissive', CASE WHEN p.polpermissive THEN 'yes' ELSE 'no' END,
            'command', CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT'
                WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
            'roles', (
                SELECT string_agg(CASE WHEN o = 0 THEN 'PUBLIC'
                    ELSE quote_ident(pg_get_userbyid(o)) END, ', ' ORDER BY pg_get_userbyid(o))
                FROM unnest(p.polroles) o),
            'using', pg_get_expr(p.polqual, p.polrelid),
            'check', pg_get_expr(p.polwithcheck, p.polrelid))) AS text)
    FROM pg_catalog.pg_policy p
    JOIN rel r ON r.oid = p.polrelid

    UNION ALL -- extended statistics
    SELECT 'statistics', ns.name || '.' ||
        CASE WHEN quote_ident(s.stxname) = CAST(s.stxname AS text)
            OR s.stxname ~ '^[a-z_][a-z0-9_]*$'
            THEN CAST(s.stxname AS text) ELSE quote_ident(s.stxname) END,
        CAST('pg_catalog.pg_statistic_ext' AS regclass), s.oid, 0,
        CAST(json_strip_nulls(json_build_object('table', r.name, 'definition', pg_get_statisticsobjdef(s.oid))) AS text)
    FROM pg_catalog.pg_statistic_ext s
    JOIN ns ON ns.oid = s.stxnamespace
    JOIN rel r ON r.oid = s.stxrelid

    UNION ALL -- event triggers
    SELECT 'event_trigger',
        CASE WHEN quote_ident(e.evtname) = CAST(e.evtname AS text)
            OR e.evtname ~ '^[a-z_][a-z0-9_]*$'
            THEN CAST(e.evtname AS text) ELSE quote_ident(e.evtname) END,
        CAST('pg_catalog.pg_event_trigger' AS regclass), e.oid, 0,
        CAST(json_strip_nulls(json_build_object('event', e.evtevent, 'function', CAST(e.evtfoid AS regprocedure),
            'tags', array_to_string(e.evttags, ', '),
            'enabled', CASE e.evtenabled WHEN 'O' THEN 'yes' WHEN 'D' THEN 'no'
                WHEN 'R' THEN 'replica' ELSE 'always' END)) AS text)
    FROM pg_catalog.pg_event_trigger e
    WHERE NOT EXISTS (
        SELECT FROM member m
        WHERE m.classid = CAST('pg_catalog.pg_event_trigger' AS regclass) AND m.objid = e.oid)

    UNION ALL -- privileges, other than the owner's own and those that everybody has by default
    SELECT 'grant', g.name, NULL, NULL, 0,
        CAST(json_object_agg(g.grantee, CASE
            WHEN g.privileges IN (
                'DELETE, INSERT, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE',
                'DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE')
            THEN 'ALL' ELSE g.privileges END) AS text)
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
                    || chr(58) || r.name AS name, r.relacl AS acl, r.relowner AS owner,
                    false AS usual
                FROM rel r WHERE r.relacl IS NOT NULL
                UNION ALL
                SELECT 'column' || chr(58) || r.name || '.' ||
                    CASE WHEN a.names[a.attnum] ~ '^[a-z_][a-z0-9_]*$' THEN a.names[a.attnum]
                        ELSE quote_ident(a.names[a.attnum]) END, (
                        SELECT c.attacl FROM pg_catalog.pg_attribute c
                        WHERE c.attrelid = a.attrelid AND c.attnum = a.attnum),
                    r.relowner, false
                FROM (
                    SELECT attrelid, names, unnest(granted) AS attnum
                    FROM att
                    WHERE granted IS NOT NULL
                ) a
                JOIN rel r ON r.oid = a.attrelid
                UNION ALL
                SELECT 'schema' || chr(58) || ns.name, ns.nspacl, ns.nspowner, false
                FROM ns WHERE ns.nspacl IS NOT NULL
                UNION ALL
                SELECT 'type' || chr(58) || t.name, t.typacl, t.typowner, true
                FROM typ t WHERE t.typacl IS NOT NULL
                UNION ALL
                SELECT f.kind || chr(58) || f.name, f.proacl, f.proowner, true
                FROM fun f WHERE f.proacl IS NOT NULL
            ) p
            CROSS JOIN LATERAL aclexplode(p.acl) x
            WHERE x.grantee <> p.owner
                AND NOT (x.grantee = 0 AND p.usual AND NOT x.is_grantable)
                AND NOT (p.name = 'schema' || chr(58) || 'public' AND x.grantee = 0)
        ) e
        GROUP BY e.name, e.grantee
        UNION ALL -- what everybody may do by default, taken away
        SELECT q.name, 'PUBLIC', 'none'
        FROM (
            SELECT f.kind || chr(58) || f.name AS name, f.proacl AS acl FROM fun f
            UNION ALL
            SELECT 'type' || chr(58) || t.name, t.typacl FROM typ t
        ) q
        WHERE q.acl IS NOT NULL
            AND NOT EXISTS (SELECT FROM aclexplode(q.acl) x WHERE x.grantee = 0)
    ) g
    GROUP BY g.name
)
SELECT concat('{', string_agg(CASE WHEN o.kind = 'columns' THEN o.aspects ELSE
    to_json(o.kind || chr(58) || o.name) || ': ' ||
    CASE WHEN d.comment IS NULL THEN o.aspects
        WHEN o.aspects = '{}' THEN '{' || d.comment || '}'
        ELSE left(o.aspects, -1) || ',' || d.comment || '}' END END,
    ',' ORDER BY o.oid, o.sub), '}')
FROM object o
LEFT JOIN note d ON d.objoid = o.oid AND d.classoid = o.class AND d.objsubid = o.sub
