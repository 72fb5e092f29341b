CREATE TABLE p (id integer, x text) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
CREATE TABLE a (x integer); CREATE TABLE b (x integer); CREATE TABLE kid (x integer); ALTER TABLE kid INHERIT b;
