CREATE TABLE p (id integer, a integer, b integer, r int4range);
CREATE TABLE c (p_id integer, CONSTRAINT later CHECK (p_id > 0) NOT VALID);
ALTER TABLE c ADD CONSTRAINT same CHECK (p_id < 5);
