CREATE TABLE t (id integer, state varchar(20)); ALTER TABLE t ADD CONSTRAINT other CHECK (state IN ('a', 'b'));
