BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('r0003');
CREATE TABLE api_key (
	key_id VARCHAR(32) NOT NULL, 
	secret_hash VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	subject VARCHAR(32), 
	client_id VARCHAR(128), 
	resource VARCHAR(64) NOT NULL, 
	scopes JSON NOT NULL, 
	revision BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME, 
	last_used_at DATETIME, 
	revoked_at DATETIME, 
	PRIMARY KEY (key_id), 
	CONSTRAINT ck_api_key_owner CHECK ((subject IS NULL) <> (client_id IS NULL)), 
	FOREIGN KEY(subject) REFERENCES user_account (subject), 
	FOREIGN KEY(client_id) REFERENCES client (client_id), 
	FOREIGN KEY(resource) REFERENCES resource (name)
);
INSERT INTO "api_key" VALUES('k1','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd','nightly','a1b2c3',NULL,'orders','["orders:read"]',1,'2026-11-01 12:30:00.000000','2036-01-01 00:00:00.000000','2026-11-01 12:30:00.000000',NULL);
CREATE TABLE audit_event (
	id INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	event VARCHAR(64) NOT NULL, 
	actor VARCHAR(255) NOT NULL, 
	subject VARCHAR(255) NOT NULL, 
	client_id VARCHAR(128) NOT NULL, 
	grant_id VARCHAR(64) NOT NULL, 
	address VARCHAR(64) NOT NULL, 
	detail VARCHAR(1024) NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "audit_event" VALUES(7,'2026-11-01 12:30:00.000000','token.revoked','web','a1b2c3','web','k3y0vJt5mXyQ2bR8cPzLwN4sDg','192.0.2.1','');
CREATE TABLE client (
	client_id VARCHAR(128) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	secret_hashes JSON NOT NULL, 
	grant_types JSON NOT NULL, 
	scopes JSON NOT NULL, 
	origins JSON NOT NULL, 
	default_resource VARCHAR(64), 
	rotates_refresh_tokens BOOLEAN NOT NULL, 
	is_enabled BOOLEAN NOT NULL, 
	is_demo BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (client_id), 
	FOREIGN KEY(default_resource) REFERENCES resource (name)
);
INSERT INTO "client" VALUES('web','Web','[]','["password", "refresh_token"]','["orders:read"]','["https://app.example"]','orders',1,1,0,'2026-11-01 12:30:00.000000');
CREATE TABLE compatibility (
	id INTEGER NOT NULL, 
	oldest VARCHAR(32) NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "compatibility" VALUES(1,'r0002');
CREATE TABLE feed_head (
	id INTEGER NOT NULL, 
	epoch VARCHAR(32) NOT NULL, 
	seq BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "feed_head" VALUES(1,'pX0cAbt3Qz1k',1);
CREATE TABLE resource (
	name VARCHAR(64) NOT NULL, 
	identifier VARCHAR(512) NOT NULL, 
	scopes JSON NOT NULL, 
	token_type VARCHAR(16) NOT NULL, 
	secret_hashes JSON NOT NULL, 
	is_demo BOOLEAN NOT NULL, 
	PRIMARY KEY (name), 
	UNIQUE (identifier)
);
INSERT INTO "resource" VALUES('orders','https://orders.example','["orders:read"]','JWT','["abababababababababababababababababababababababababababababababab"]',0);
CREATE TABLE revocation_rule (
	seq BIGINT NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	digest BLOB NOT NULL, 
	value VARCHAR(1024) NOT NULL, 
	ends BOOLEAN NOT NULL, 
	expires_at BIGINT, 
	kept_until BIGINT, 
	PRIMARY KEY (seq)
);
INSERT INTO "revocation_rule" VALUES(1,'grant_id',X'F5C3F6BB1B26BF7C72699181AA4A5B40','k3y0vJt5mXyQ2bR8cPzLwN4sDg',1,4000000000,4000000000);
CREATE TABLE role (
	name VARCHAR(64) NOT NULL, 
	scopes JSON NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "role" VALUES('reader','["orders:read"]');
CREATE TABLE user_account (
	subject VARCHAR(32) NOT NULL, 
	username VARCHAR(255) NOT NULL, 
	username_key VARCHAR(1024) NOT NULL, 
	password_hash VARCHAR(255), 
	is_enabled BOOLEAN NOT NULL, 
	is_demo BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (subject), 
	UNIQUE (username_key)
);
INSERT INTO "user_account" VALUES('a1b2c3','Zoë','zoë','$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$Zm9vYmFy',1,0,'2026-11-01 12:30:00.000000');
CREATE TABLE user_role (
	subject VARCHAR(32) NOT NULL, 
	role VARCHAR(64) NOT NULL, 
	PRIMARY KEY (subject, role), 
	FOREIGN KEY(subject) REFERENCES user_account (subject), 
	FOREIGN KEY(role) REFERENCES role (name)
);
INSERT INTO "user_role" VALUES('a1b2c3','reader');
CREATE INDEX ix_revocation_rule_digest ON revocation_rule (digest);
CREATE INDEX ix_revocation_rule_kept_until ON revocation_rule (kept_until);
CREATE INDEX ix_audit_event_at ON audit_event (at);
CREATE INDEX ix_api_key_subject ON api_key (subject);
CREATE INDEX ix_api_key_client_id ON api_key (client_id);
COMMIT;
