CREATE TABLE t (id integer) WITH (fillfactor = 70, autovacuum_enabled = false); CREATE UNLOGGED TABLE l (id integer); CREATE TABLE r (id integer); ALTER TABLE r REPLICA IDENTITY FULL;
