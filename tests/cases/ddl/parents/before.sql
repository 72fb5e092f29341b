CREATE TABLE p (id integer, x text) PARTITION BY LIST (id); CREATE TABLE p1 (id integer, x text);
CREATE TABLE a (x integer); CREATE TABLE b (x integer); CREATE TABLE kid (x integer); ALTER TABLE kid INHERIT a;
