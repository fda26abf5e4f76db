BEGIN TRANSACTION;
CREATE TABLE account (
	id INTEGER NOT NULL, 
	email VARCHAR(254) NOT NULL, 
	name VARCHAR(100) NOT NULL, 
	password VARCHAR(255) NOT NULL, 
	admin BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (email)
);
INSERT INTO "account" VALUES(1,'ana@example.org','Ana Conceição','$argon2id$v=19$m=19456,t=2,p=1$KkbVvKnEVqbvA0sH8QdsgQ$/wvxZDTdCxG/yvjtug4l11PpaIje630mYfgyXJAjCfc',1,'2026-11-30 06:29:44.132716');
INSERT INTO "account" VALUES(2,'eva@example.org','Eva','$argon2id$v=19$m=19456,t=2,p=1$yHePjRq0+yiMTlW3RQKKDQ$+lHkUszSLQbEmNHpj6w+oE4NlyGPrGkXCN2f7w0L0OQ',0,'2026-11-30 06:29:44.253453');
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
CREATE TABLE attempt (
	id INTEGER NOT NULL, 
	who VARCHAR(260) NOT NULL, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "attempt" VALUES(1,'to eva@example.org','2026-11-30 06:29:44.257868');
INSERT INTO "attempt" VALUES(2,'from 10.0.0.1','2026-11-30 06:29:44.257868');
CREATE TABLE feed (
	token VARCHAR(64) NOT NULL, 
	school_id INTEGER NOT NULL, 
	resource VARCHAR(20) NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (token), 
	UNIQUE (school_id, resource), 
	FOREIGN KEY(school_id) REFERENCES school (id) ON DELETE CASCADE
);
INSERT INTO "feed" VALUES('feed-of-6A',1,'c6','2026-11-30 06:29:44.393494');
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
	finished_at DATETIME, history TEXT, stop_requested BOOLEAN, school_version INTEGER, locked TEXT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(instance_id) REFERENCES instance (id) ON DELETE CASCADE
);
INSERT INTO "generation" VALUES(1,1,'done',2.0,1,1.30302559999790901201e-02,0,0,0,'[["Art","Mo1",1]]',NULL,'worker-1',1,'2026-11-30 06:29:37.176317','2026-11-30 06:29:37.186934','2026-11-30 06:29:43.921540','2026-11-30 06:29:43.921540','[[0.0, 0, 0]]',NULL,NULL,NULL);
INSERT INTO "generation" VALUES(2,1,'queued',2.0,2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,'2026-11-30 06:29:43.924469',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "generation" VALUES(3,2,'done',2.0,1,2.83364370000072085531e-02,0,0,0,'[["l8@d1p1","d1p1",1]]',NULL,'worker-1',1,'2026-11-30 06:29:44.410136','2026-11-30 06:29:44.420735','2026-11-30 06:29:48.560873','2026-11-30 06:29:48.560873','[[0.0, 0, 0]]',0,2,'[{"lesson": "l8", "time": "d1p1", "duration": 1, "locked": true}]');
CREATE TABLE "instance" (
	id INTEGER NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	xhstt TEXT NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	created_at DATETIME NOT NULL, 
	school_id INTEGER, 
	PRIMARY KEY (id), 
	CONSTRAINT fk_instance_school_id FOREIGN KEY(school_id) REFERENCES school (id) ON DELETE CASCADE, 
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
','6b0eb3956bd632fb51e0b88b2e5cb8aae79ed0698d98c39e87d56eaa6e1df60a','2026-11-30 06:29:37.174845',NULL);
INSERT INTO "instance" VALUES(2,'School 1','<?xml version="1.0" encoding="UTF-8"?>
<HighSchoolTimetableArchive Id="SchoolScheduler">
<Instances>
<Instance Id="school">
<MetaData><Name>school</Name>
<Contributor>School Scheduler</Contributor><Date></Date><Country></Country>
<Description></Description></MetaData>
<Times><TimeGroups>
<Day Id="d1"><Name>d1</Name></Day>
</TimeGroups>
<Time Id="d1p1"><Name>d1p1</Name><Day Reference="d1"/></Time>
<Time Id="d1p2"><Name>d1p2</Name><Day Reference="d1"/></Time>
<Time Id="d1p3"><Name>d1p3</Name><Day Reference="d1"/></Time>
<Time Id="d1p4"><Name>d1p4</Name><Day Reference="d1"/></Time>
<Time Id="d1p5"><Name>d1p5</Name><Day Reference="d1"/></Time>
</Times>
<Resources><ResourceTypes>
<ResourceType Id="Class"><Name>Class</Name></ResourceType>
<ResourceType Id="Teacher"><Name>Teacher</Name></ResourceType>
<ResourceType Id="Room"><Name>Room</Name></ResourceType>
</ResourceTypes><ResourceGroups/>
<Resource Id="c6"><Name>c6</Name><ResourceType Reference="Class"/></Resource>
</Resources>
<Events><EventGroups>
<EventGroup Id="l8"><Name>l8</Name></EventGroup>
</EventGroups>
<Event Id="l8@d1p1"><Name>l8@d1p1</Name>
<Duration>1</Duration><Time Reference="d1p1"/><Resources><Resource Reference="c6"/></Resources><EventGroups><EventGroup Reference="l8"/></EventGroups></Event>
</Events>
<Constraints>
<AssignTimeConstraint Id="assign"><Name>assign</Name><Required>true</Required><Weight>1</Weight><CostFunction>Linear</CostFunction><AppliesTo><Events><Event Reference="l8@d1p1"/></Events></AppliesTo></AssignTimeConstraint>
<SpreadEventsConstraint Id="spread-1"><Name>spread-1</Name><Required>false</Required><Weight>10</Weight><CostFunction>Linear</CostFunction><AppliesTo><EventGroups><EventGroup Reference="l8"/></EventGroups></AppliesTo><TimeGroups><TimeGroup Reference="d1"><Minimum>0</Minimum><Maximum>1</Maximum></TimeGroup></TimeGroups></SpreadEventsConstraint>
<AvoidClashesConstraint Id="clash"><Name>clash</Name><Required>true</Required><Weight>1</Weight><CostFunction>Linear</CostFunction><AppliesTo><Resources><Resource Reference="c6"/></Resources></AppliesTo></AvoidClashesConstraint>
<LimitIdleTimesConstraint Id="idle-c6"><Name>idle-c6</Name><Required>false</Required><Weight>10</Weight><CostFunction>Linear</CostFunction><AppliesTo><Resources><Resource Reference="c6"/></Resources></AppliesTo><TimeGroups><TimeGroup Reference="d1"/></TimeGroups><Minimum>0</Minimum><Maximum>0</Maximum></LimitIdleTimesConstraint>
</Constraints>
</Instance>
</Instances>
</HighSchoolTimetableArchive>
','7cf6f8e8f87d737801f313af221be984beda9708de541f798eb32de0f37b0c83','2026-11-30 06:29:44.395204',1);
CREATE TABLE invitation (
	token_sha256 VARCHAR(64) NOT NULL, 
	school_id INTEGER, 
	role VARCHAR(10) NOT NULL, 
	expires_at DATETIME NOT NULL, 
	PRIMARY KEY (token_sha256), 
	FOREIGN KEY(school_id) REFERENCES school (id) ON DELETE CASCADE
);
INSERT INTO "invitation" VALUES('be550a5ead314a119ff5c36fa3977e7e5376dd237374bc7c035a6ec57c6c7d78',1,'editor','2026-12-07 06:29:44.392970');
CREATE TABLE login (
	token_sha256 VARCHAR(64) NOT NULL, 
	account_id INTEGER NOT NULL, 
	expires_at DATETIME NOT NULL, 
	PRIMARY KEY (token_sha256), 
	FOREIGN KEY(account_id) REFERENCES account (id) ON DELETE CASCADE
);
INSERT INTO "login" VALUES('402a76931610e33f22f141fe4fc9aa5d9e70661f2450d521c0cf602895748d67',1,'2026-12-14 06:29:44.256964');
CREATE TABLE membership (
	account_id INTEGER NOT NULL, 
	school_id INTEGER NOT NULL, 
	role VARCHAR(10) NOT NULL, 
	PRIMARY KEY (account_id, school_id), 
	FOREIGN KEY(account_id) REFERENCES account (id) ON DELETE CASCADE, 
	FOREIGN KEY(school_id) REFERENCES school (id) ON DELETE CASCADE
);
INSERT INTO "membership" VALUES(1,1,'admin');
CREATE TABLE publication (
	id INTEGER NOT NULL, 
	school_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	"plan" VARCHAR(20) NOT NULL, 
	account_id INTEGER, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(school_id) REFERENCES school (id) ON DELETE CASCADE, 
	FOREIGN KEY(account_id) REFERENCES account (id) ON DELETE SET NULL
);
INSERT INTO "publication" VALUES(1,1,2,'v9',1,'2026-11-30 06:29:44.385413');
CREATE TABLE revision (
	id INTEGER NOT NULL, 
	school_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	document BLOB, 
	what TEXT NOT NULL, 
	account_id INTEGER, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (school_id, number), 
	FOREIGN KEY(school_id) REFERENCES school (id) ON DELETE CASCADE, 
	FOREIGN KEY(account_id) REFERENCES account (id) ON DELETE SET NULL
);
INSERT INTO "revision" VALUES(1,1,1,X'789C5D904D6EC3201046AF12CDDA0BB0F3E3B2CBA227E8B2B22A0CD3C80DC511D8AA2A8B8B75D9931550130F5E0EBCF7CDA759C0CA4F0401CF5E8D4642055F8857100B68F9ED41BC2E30E8F8AD79FCFA475FF002A1ABE0866E1835816E043ACF46EED2DCE365B0110276120D8B0F68751E5B513308D5DDAD376E5DB8195EDD27C1A9DB6CDCA67033FC7039132C8DBD43797D93EF133A10939B718DDB6FE2F6342EFAB40AE76595C3C63D142E2FABD4A94AE84205CA48EF91DC521DD7A0E3EFCFEE9C4FEEE7FE03D544387F220BDD841933E8FD6809655A78C877695D999675C953E36CF33DDAF007307D99AC','["The school was made.", {}]',1,'2026-11-30 06:29:44.350264');
INSERT INTO "revision" VALUES(2,1,2,X'789C5D924D6E83301085AF12CD9A0526BF7897452ED02E2B54197B9A521C3BF24FAB0A71B12E7BB21A17826139CCFBDE7B1AD3816237040A17CBB56490C117620BB403C1BE2DD0970E1A11D68284D5287DC62BF4550677348D1689E89E88CE5EB2CD30D7786D5410417EA4DB3C7C4025E278A2450E7D36B1C58A2D166C14CF6C4949CA6E57EC76C146F1832539CD87B136C8DA57F6E6D00075C6E36CB75BD9ED52BBC0A755085956D9AFD8FD8225CB2AC550A5AFFA0CB864D662724B7E988D0EBF3F9B733CB9F5F5077297E8EC3109340EA34CA2B55A252A7982073C4173E41056C517952CA53ECBD9FB8959EED5BB86A8E2784335D6F80F9B425C13E582C49F4178C35C336C4968A5798B623C76CCE3DAAB78FFB2FF031A5BBDA5','["“{name}” was added.", {"name": "Rascunho"}]',1,'2026-11-30 06:29:44.371146');
CREATE TABLE school (
	id INTEGER NOT NULL, 
	name VARCHAR(100) NOT NULL, 
	version INTEGER NOT NULL, 
	public BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "school" VALUES(1,'Escola',2,0,'2026-11-30 06:29:44.347849');
CREATE INDEX ix_generation_instance_id ON generation (instance_id);
CREATE INDEX ix_generation_state ON generation (state, id);
CREATE INDEX ix_publication_school_id ON publication (school_id);
CREATE INDEX ix_membership_school_id ON membership (school_id);
CREATE INDEX ix_login_account_id ON login (account_id);
CREATE INDEX ix_invitation_school_id ON invitation (school_id);
CREATE INDEX ix_attempt_who ON attempt (who, at);
CREATE INDEX ix_instance_school_id ON instance (school_id);
COMMIT;
