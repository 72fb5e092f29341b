CREATE TABLE t (id integer) WITH (fillfactor = 50); CREATE TABLE l (id integer); CREATE TABLE r (id integer);
