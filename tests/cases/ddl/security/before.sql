CREATE TABLE t (id integer); CREATE TABLE u (id integer); GRANT ALL ON u TO runbook_reader; CREATE POLICY pu ON u USING (id > 0);
CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'; CREATE VIEW v AS SELECT 1 AS a; GRANT SELECT ON v TO runbook_reader;
