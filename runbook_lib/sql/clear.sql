-- Empties a database within the transaction that it begins; the extensions named stay.
BEGIN READ WRITE;
SET LOCAL client_min_messages = warning;
SELECT pg_catalog.set_config('lock_timeout', {lock_timeout}, true);
SET LOCAL search_path = pg_catalog;

DO $clear$
DECLARE
    item record;
    place regnamespace;
BEGIN
    FOR item IN SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'
        AND extname NOT IN ({extensions})
    LOOP
        EXECUTE format('DROP EXTENSION IF EXISTS %I CASCADE', item.extname);
    END LOOP;

    -- objects that live in no schema; a drop may take along what comes later in the list
    FOR item IN
        SELECT i.type, i.identity
        FROM (
            SELECT 'pg_event_trigger'::regclass::oid AS classid, oid AS objid FROM pg_event_trigger
            UNION ALL SELECT 'pg_publication'::regclass, oid FROM pg_publication
            UNION ALL SELECT 'pg_foreign_server'::regclass, oid FROM pg_foreign_server
            UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper
            UNION ALL SELECT 'pg_cast'::regclass, oid FROM pg_cast
        ) o
        CROSS JOIN LATERAL pg_identify_object(o.classid, o.objid, 0) i
        WHERE o.objid >= 16384 AND NOT EXISTS (
            SELECT FROM pg_depend d
            WHERE d.classid = o.classid AND d.objid = o.objid AND d.deptype IN ('e', 'i'))
        ORDER BY i.identity -- so that all are identified before the first is gone
    LOOP
        EXECUTE format('DROP %s IF EXISTS %s CASCADE', item.type, item.identity);
    END LOOP;

    -- schemas that nothing but the user's objects live in
    FOR place IN
        SELECT n.oid FROM pg_namespace n
        WHERE left(n.nspname, 3) <> 'pg_' AND n.nspname NOT IN ('information_schema', 'public')
            AND NOT EXISTS (SELECT FROM pg_extension e WHERE e.extnamespace = n.oid)
            AND NOT EXISTS (
                SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass
                    AND d.objid = n.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('DROP SCHEMA %s CASCADE', place);
    END LOOP;

    -- the content of those that stay
    FOR item IN
        SELECT d.classid, d.objid
        FROM pg_depend d
        JOIN pg_namespace n ON n.oid = d.refobjid
        WHERE d.refclassid = 'pg_namespace'::regclass AND d.deptype = 'n'
            AND left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema'
            AND d.classid NOT IN ('pg_extension'::regclass, 'pg_default_acl'::regclass)
            AND NOT EXISTS (
                SELECT FROM pg_depend e
                WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype IN ('e', 'i')
                    AND (e.refclassid, e.refobjid) <> (e.classid, e.objid))
    LOOP
        CONTINUE WHEN NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = item.classid AND d.objid = item.objid);
        EXECUTE (
            SELECT format('DROP %s IF EXISTS %s CASCADE',
                CASE i.type WHEN 'composite type' THEN 'TYPE'
                    WHEN 'statistics object' THEN 'STATISTICS' ELSE i.type END, i.identity)
            FROM pg_identify_object(item.classid, item.objid, 0) i);
    END LOOP;

    PERFORM lo_unlink(oid) FROM pg_largeobject_metadata;

    -- the schema public as a new database has it, for the dump says only what differs from that
    IF to_regnamespace('public') IS NULL THEN
        EXECUTE 'CREATE SCHEMA public';
    END IF;
    IF (SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'public') THEN
        FOR item IN
            SELECT DISTINCT a.grantee FROM pg_namespace n, aclexplode(n.nspacl) a
            WHERE n.nspname = 'public' AND a.grantee <> n.nspowner
        LOOP
            EXECUTE 'REVOKE ALL ON SCHEMA public FROM '
                || CASE item.grantee WHEN 0 THEN 'PUBLIC'
                    ELSE quote_ident(pg_get_userbyid(item.grantee)) END;
        END LOOP;
        GRANT USAGE ON SCHEMA public TO PUBLIC;
        IF current_setting('server_version_num')::integer < 150000 THEN
            GRANT CREATE ON SCHEMA public TO PUBLIC;
        END IF;
    END IF;
END
$clear$;

RESET client_min_messages;
