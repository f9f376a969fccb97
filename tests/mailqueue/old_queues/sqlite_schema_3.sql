-- The queue of schema 2, with the migration to schema 3 applied and nothing else done; see there
-- for what stands in it.  Never to be changed.
PRAGMA application_id=1634954865;
PRAGMA user_version=3;
BEGIN TRANSACTION;

-- Table  account_state
CREATE TABLE account_state (
    name        ANY PRIMARY KEY,
    state       TEXT NOT NULL,
    until       REAL NOT NULL,
    since       REAL NOT NULL,
    failures    INTEGER NOT NULL,
    reason      ANY NOT NULL,
    hint        ANY
) STRICT, WITHOUT ROWID;
INSERT INTO account_state VALUES('home','held',9e999,1700000000.0,0,'wrong password',NULL);

-- Table  content
CREATE TABLE content (
    job         INTEGER PRIMARY KEY REFERENCES job ON DELETE CASCADE,
    octets      BLOB NOT NULL
) STRICT;
INSERT INTO content VALUES(1,X'5375626A6563743A20736D616C6C0D0A0D0A68656C6C6F0D0A');
INSERT INTO content VALUES(2,X'5375626A6563743A20736D616C6C0D0A0D0A68656C6C6F0D0A');
INSERT INTO content VALUES(3,X'5375626A6563743A20736D616C6C0D0A0D0A68656C6C6F0D0A');
INSERT INTO content VALUES(4,X'5375626A6563743A20736D616C6C0D0A0D0A68656C6C6F0D0A');
INSERT INTO content VALUES(6,X'5375626A6563743A20736D616C6C0D0A0D0A68656C6C6F0D0A');

-- Table  job
CREATE TABLE job (
    id          INTEGER PRIMARY KEY,
    queue_id    TEXT NOT NULL UNIQUE,
    name        ANY NOT NULL,
    job_file    ANY NOT NULL,
    claimed_at  REAL NOT NULL,
    job_id      ANY,
    status      TEXT NOT NULL,
    stage       TEXT NOT NULL CHECK (stage IN ('waiting', 'leased', 'held', 'finished')),
    fence       INTEGER NOT NULL DEFAULT 0,
    dot         INTEGER NOT NULL DEFAULT 0,       -- the end of the content may have been sent
    route_key   ANY,                              -- Route.key: the lane it waits in
    account     ANY,
    host        ANY,
    port        INTEGER,
    tls_mode    TEXT,
    message_id  ANY,
    reverse_path ANY,
    smtputf8    INTEGER NOT NULL DEFAULT 0,
    require_tls INTEGER NOT NULL DEFAULT 0,
    body_8bit   INTEGER NOT NULL DEFAULT 0,       -- a ready message may have such a body
    size_octets INTEGER,
    in_file     INTEGER NOT NULL DEFAULT 0,       -- the content lies in QUEUEID.msg
    priority    INTEGER NOT NULL DEFAULT 1,
    attempts    INTEGER NOT NULL DEFAULT 0,
    due_at      REAL,
    expires_at  REAL,
    on_doubt    TEXT,
    server      ANY,
    tls         TEXT,
    finished_at REAL,
    reported    INTEGER NOT NULL DEFAULT 0,
    errors      TEXT NOT NULL DEFAULT '[]',
    warnings    TEXT NOT NULL DEFAULT '[]',
    meta        TEXT NOT NULL DEFAULT '{}'
, word TEXT, note ANY NOT NULL DEFAULT '', turn INTEGER NOT NULL DEFAULT 0 CHECK (turn >= 0)) STRICT;
INSERT INTO job VALUES(1,'Q1','hello','Q1~hello.yaml',1700000000.0,NULL,'queued','leased',1,0,'work','work',NULL,NULL,NULL,'<Q1@example.org>','a@example.org',0,0,0,25,0,1,0,1700000000.0,1700172800.0,'retry',NULL,NULL,NULL,0,'[]','[]','{}',NULL,'',0);
INSERT INTO job VALUES(2,'Q2','hello','Q2~hello.yaml',1700000000.0,NULL,'queued','leased',1,1,'work','work',NULL,NULL,NULL,'<Q2@example.org>','a@example.org',0,0,0,25,0,0,0,1700000001.0,1700172800.0,'retry',NULL,NULL,NULL,0,'[]','[]','{}',NULL,'',0);
INSERT INTO job VALUES(3,'Q3',X'6F6464EDB3BF',X'51337E6F6464EDB3BF2E79616D6C',1700000000.0,'order-7','deferred','waiting',1,0,'work','work',NULL,NULL,NULL,'<Q3@example.org>','a@example.org',0,0,0,25,0,1,1,1700000060.0,1700172800.0,'retry',NULL,NULL,NULL,0,'[]','[]','{"n": [1]}',NULL,'',0);
INSERT INTO job VALUES(4,'Q4','hello','Q4~hello.yaml',1700000000.0,NULL,'held','held',1,0,'work','work',NULL,NULL,NULL,'<Q4@example.org>','a@example.org',0,0,0,25,0,1,1,1700000000.0,1700172800.0,'hold',NULL,NULL,NULL,0,'[]','[]','{}',NULL,'',0);
INSERT INTO job VALUES(5,'Q5','hello','Q5~hello.yaml',1700000000.0,NULL,'invalid','finished',0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,0,NULL,0,1,0,NULL,NULL,NULL,NULL,NULL,1700000000.0,0,'[["to", "no @", "write name@domain", 4, 5]]','[]','{}',NULL,'',0);
INSERT INTO job VALUES(6,'Q6','hello','Q6~hello.yaml',1700000000.0,NULL,'sent','finished',1,0,'work','work',NULL,NULL,NULL,'<Q6@example.org>','a@example.org',0,0,0,25,0,1,1,NULL,1700172800.0,'retry','mx.example:25',NULL,1700000000.0,0,'[]','[]','{}',NULL,'',0);
-- Triggers and indices on  job
CREATE INDEX job_due ON job (route_key, priority, turn, due_at, queue_id) WHERE stage = 'waiting';
CREATE INDEX job_expiry ON job (expires_at) WHERE stage = 'waiting';
CREATE INDEX job_finished ON job (reported, finished_at) WHERE stage = 'finished';
CREATE INDEX job_job_id ON job (job_id, claimed_at) WHERE job_id IS NOT NULL;
CREATE INDEX job_leased ON job (id) WHERE stage = 'leased';
CREATE INDEX job_name ON job (name);
CREATE INDEX job_status ON job (status);

-- Table  recipient
CREATE TABLE recipient (
    job         INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    address     ANY NOT NULL,
    status      TEXT NOT NULL DEFAULT 'pending',
    code        INTEGER,
    enhanced    ANY,
    phase       TEXT,
    kind        TEXT,
    text        ANY NOT NULL DEFAULT '',
    hint        ANY,
    possible_duplicate INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, position)
) STRICT, WITHOUT ROWID;
INSERT INTO recipient VALUES(1,0,'b@example.org','pending',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO recipient VALUES(2,0,'b@example.org','pending',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO recipient VALUES(2,1,'c@example.org','pending',NULL,NULL,NULL,NULL,'',NULL,0);
INSERT INTO recipient VALUES(3,0,'b@example.org','deferred',451,'4.7.1','rcpt','greylist','come back later',NULL,0);
INSERT INTO recipient VALUES(4,0,'b@example.org','deferred',451,'4.7.1','rcpt','greylist','come back later',NULL,0);
INSERT INTO recipient VALUES(6,0,'b@example.org','accepted',250,'2.0.0','dot',NULL,'OK: queued as 4F2',NULL,0);

-- Views
CREATE VIEW lane AS
WITH RECURSIVE walk (route_key, priority) AS (
    SELECT * FROM (SELECT route_key, priority FROM job
                   WHERE stage = 'waiting' AND route_key IS NOT NULL
                   ORDER BY route_key, priority LIMIT 1)
    UNION ALL
    SELECT job.route_key, job.priority FROM walk JOIN job ON job.id = coalesce(
        (SELECT id FROM job AS next WHERE next.stage = 'waiting'
            AND next.route_key = walk.route_key AND next.priority > walk.priority
         ORDER BY next.priority LIMIT 1),
        (SELECT id FROM job AS next WHERE next.stage = 'waiting'
            AND next.route_key > walk.route_key
         ORDER BY next.route_key, next.priority LIMIT 1))
)
SELECT route_key, priority FROM walk;

-- Database header
pragma user_version=3;
pragma application_id=1634954865;

COMMIT TRANSACTION;
