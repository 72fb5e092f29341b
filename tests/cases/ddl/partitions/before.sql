CREATE TABLE loose (d date NOT NULL, x integer);
