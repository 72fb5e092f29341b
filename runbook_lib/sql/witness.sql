-- Functions of the agent's own session: what a revision changed, in one round trip. The places in
-- double angle brackets are filled in by narrowing. They are made in pg_temp, outside of any
-- revision's transaction, and no snapshot shows them.

-- A moment: what tells one transaction from the next, and how many rows of the catalog this one
-- has written so far, by what they are about; beyond are the kinds of objects that only
-- runbook_whole reads.
CREATE OR REPLACE FUNCTION pg_temp.runbook_moment() RETURNS text LANGUAGE plpgsql
SET search_path TO pg_catalog AS $runbook$
BEGIN
    RETURN (
        SELECT json_build_array(CAST(now() AS text), pg_backend_pid(),
            CAST(txid_current_if_assigned() AS text),
            CASE WHEN current_setting('track_counts') = 'on'
                THEN json_object_agg(w.place, w.written) END)
        FROM (
            SELECT c.place, sum(pg_stat_get_xact_tuples_inserted(c.id)
                + pg_stat_get_xact_tuples_updated(c.id)
                + pg_stat_get_xact_tuples_deleted(c.id)) AS written
            FROM (
                SELECT unnest(CAST(ARRAY['pg_class', 'pg_attribute', 'pg_attrdef', 'pg_constraint',
                    'pg_index', 'pg_type', 'pg_sequence', 'pg_description', 'pg_depend',
                    'pg_trigger'] AS regclass[])) AS id, 'near' AS place
                UNION ALL SELECT unnest(CAST(ARRAY['pg_enum', 'pg_range'] AS regclass[])), 'types'
                UNION ALL SELECT CAST('pg_rewrite' AS regclass), 'views'
                UNION ALL SELECT unnest(CAST(ARRAY['pg_proc', 'pg_aggregate'] AS regclass[])),
                    'functions'
                UNION ALL SELECT CAST('pg_policy' AS regclass), 'policies'
                UNION ALL SELECT CAST('pg_statistic_ext' AS regclass), 'statistics'
                UNION ALL SELECT unnest(CAST(ARRAY['pg_namespace', 'pg_extension',
                    'pg_event_trigger', 'pg_inherits', 'pg_partitioned_table', 'pg_foreign_table',
                    'pg_foreign_server', 'pg_authid', 'pg_auth_members', 'pg_collation',
                    'pg_opclass', 'pg_opfamily', 'pg_operator', 'pg_cast', 'pg_language',
                    'pg_ts_config', 'pg_ts_dict', 'pg_am', 'pg_tablespace',
                    'pg_default_acl'] AS regclass[])), 'beyond'
            ) c
            GROUP BY c.place
        ) w);
END $runbook$;

-- The catalog of a few tables ($1): what they are called, and their own objects. runbook_beside is
-- made of it too: there some may be views, triggers and rules are read with them, functions by
-- their names ($3), and everything of some kinds ($2).
CREATE OR REPLACE FUNCTION pg_temp.<<function>> RETURNS text LANGUAGE plpgsql
<<narrow>> AS $runbook$
DECLARE
    runbook_names text;
    runbook_objects text;
    runbook_reach oid[];
    runbook_near oid[];
BEGIN
    SELECT CAST(json_agg(json_build_array(n.nspname, c.relname, CASE WHEN c.relkind = 'v' THEN 'view'
        WHEN c.relkind = 'r' AND NOT c.relispartition AND NOT c.relhassubclass AND NOT EXISTS (
            SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid) THEN 'table' END)
        ORDER BY x.place) AS text)
    INTO runbook_names
    FROM unnest($1) WITH ORDINALITY x (id, place)
    LEFT JOIN pg_class c ON c.oid = x.id
    LEFT JOIN pg_namespace n ON n.oid = c.relnamespace;
    runbook_reach = ARRAY(
        SELECT unnest($1)
<<views>>        UNION ALL SELECT x.indexrelid FROM pg_index x WHERE x.indrelid = ANY ($1)
        UNION ALL SELECT x.confrelid FROM pg_constraint x
            WHERE x.conrelid = ANY ($1) AND x.contype = 'f'
        UNION ALL SELECT x.objid FROM pg_depend x
            WHERE x.refclassid = CAST('pg_catalog.pg_class' AS regclass)
                AND x.refobjid = ANY ($1)
                AND x.classid = CAST('pg_catalog.pg_class' AS regclass)
                AND x.deptype IN ('a', 'i'));
<<near>>    IF EXISTS (SELECT FROM pg_class x WHERE x.oid = ANY (runbook_reach) AND x.relacl IS NOT NULL)
        OR EXISTS (SELECT FROM pg_attribute x
            WHERE x.attrelid = ANY (runbook_reach) AND x.attacl IS NOT NULL)
    THEN
        runbook_objects = (
<<granted>>
        );
    ELSE
        runbook_objects = (
<<part>>
        );
    END IF;
    RETURN concat('{"moment":', pg_temp.runbook_moment(), ',"names":',
        COALESCE(runbook_names, '[]'), ',"objects":', runbook_objects, '}');
END $runbook$;

-- The whole catalog.
CREATE OR REPLACE FUNCTION pg_temp.runbook_whole() RETURNS text LANGUAGE plpgsql
<<wide>> AS $runbook$
BEGIN
    RETURN (
<<whole>>
    );
END $runbook$
