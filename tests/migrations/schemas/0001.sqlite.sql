BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE generation (
	id INTEGER NOT NULL, 
	instance_id INTEGER NOT NULL, 
	state VARCHAR(10) NOT NULL, 
	seconds FLOAT NOT NULL, 
	seed INTEGER NOT NULL, 
	elapsed FLOAT, 
	hard INTEGER, 
	soft INTEGER, 
	bound INTEGER, 
	timetable TEXT, 
	error VARCHAR(500), 
	worker VARCHAR(100), 
	attempts INTEGER NOT NULL, 
	requested_at DATETIME NOT NULL, 
	started_at DATETIME, 
	heartbeat_at DATETIME, 
	finished_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(instance_id) REFERENCES instance (id) ON DELETE CASCADE
);
INSERT INTO "generation" VALUES(1,1,'done',2.0,1,3.70137899994915642309e-03,0,0,0,'[["Art","Mo1",1]]',NULL,'worker-1',1,'2026-11-30 06:29:00.872767','2026-11-30 06:29:00.874677','2026-11-30 06:29:02.218694','2026-11-30 06:29:02.218694');
INSERT INTO "generation" VALUES(2,1,'queued',2.0,2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,'2026-11-30 06:29:02.223441',NULL,NULL,NULL);
CREATE TABLE instance (
	id INTEGER NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	xhstt TEXT NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (sha256)
);
INSERT INTO "instance" VALUES(1,'Escola Ção','<HighSchoolTimetableArchive><Instances><Instance Id="tiny"><MetaData><Name>Escola Ção</Name></MetaData>
<Times><TimeGroups><Day Id="Mo"><Name>Segunda</Name></Day></TimeGroups>
<Time Id="Mo1"><Name>Segunda 1</Name><Day Reference="Mo"/></Time></Times>
<Resources><ResourceTypes><ResourceType Id="Class"><Name>Turma</Name></ResourceType></ResourceTypes>
<Resource Id="6A"><Name>6º ano A</Name><ResourceType Reference="Class"/></Resource></Resources>
<Events><Event Id="Art"><Name>Arte</Name><Duration>1</Duration>
<Resources><Resource Reference="6A"/></Resources></Event></Events>
<Constraints/></Instance></Instances></HighSchoolTimetableArchive>
','6b0eb3956bd632fb51e0b88b2e5cb8aae79ed0698d98c39e87d56eaa6e1df60a','2026-11-30 06:29:00.871193');
CREATE INDEX ix_generation_instance_id ON generation (instance_id);
CREATE INDEX ix_generation_state ON generation (state, id);
COMMIT;
