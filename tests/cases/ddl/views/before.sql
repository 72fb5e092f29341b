CREATE TABLE t (id integer, name text); CREATE VIEW v AS SELECT id FROM t; CREATE VIEW gone AS SELECT 1 AS one;
