-- The SQLite engine's schema and every statement it runs, each with its name and reason.
--
-- Parameters are numbered (?1, ?2), so that one value may be used twice.  Columns that hold
-- outside text are ANY: SQLite's TEXT must be Unicode, and a file name need not be; such a
-- text is kept as a BLOB.

-- name: schema_1
-- The first schema.  A job waits, is leased, is held for a person, or is finished; the small
-- partial indexes over the stages are what lease() and unreported() walk, so that their cost
-- does not grow with the jobs that merely lie there.  Content stands apart, so that no update
-- of a job rewrites it.
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
) STRICT;
CREATE INDEX job_due ON job (route_key, priority, due_at, queue_id) WHERE stage = 'waiting';
CREATE INDEX job_expiry ON job (expires_at) WHERE stage = 'waiting';
CREATE INDEX job_leased ON job (id) WHERE stage = 'leased';
CREATE INDEX job_finished ON job (reported, finished_at) WHERE stage = 'finished';
CREATE INDEX job_status ON job (status);
CREATE INDEX job_job_id ON job (job_id, claimed_at) WHERE job_id IS NOT NULL;
CREATE INDEX job_name ON job (name);
-- The pairs of route and priority that have something waiting: each is found from the one before
-- by two seeks, however much lies in it, so that a closed account costs a few seeks.
-- (One comparison of row values would read better, but SQLite seeks by its first column alone.)
CREATE VIEW lane AS
WITH RECURSIVE walk (route_key, priority) AS (
    SELECT * FROM (SELECT route_key, priority FROM job WHERE stage = 'waiting'
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
CREATE TABLE content (
    job         INTEGER PRIMARY KEY REFERENCES job ON DELETE CASCADE,
    octets      BLOB NOT NULL
) STRICT;
CREATE TABLE account_state (
    name        ANY PRIMARY KEY,
    state       TEXT NOT NULL,
    until       REAL NOT NULL,
    since       REAL NOT NULL,
    failures    INTEGER NOT NULL,
    reason      ANY NOT NULL,
    hint        ANY
) STRICT, WITHOUT ROWID;

-- name: schema_2
-- What persons say: word is noted while a lease lasts ('hold' or 'cancel'), note is their reason.
ALTER TABLE job ADD COLUMN word TEXT;
ALTER TABLE job ADD COLUMN note ANY NOT NULL DEFAULT '';
-- The view as in schema_1, but that a damaged row without a route is no step of the walk: from
-- NULL there is no next.
DROP VIEW lane;
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

-- name: schema_3
-- Fairness between senders.  What is due as it comes in stands in its lane's line and has a turn
-- there; what goes by its time (a send_at, and all that was ever leased) has none: 0.
ALTER TABLE job ADD COLUMN turn INTEGER NOT NULL DEFAULT 0 CHECK (turn >= 0);
DROP INDEX job_due;
CREATE INDEX job_due ON job (route_key, priority, turn, due_at, queue_id) WHERE stage = 'waiting';

-- name: schema_4
-- A content file may hold the contents of several jobs: each row tells its place, the file's name
-- and how many octets stand before it.  The index finds who still needs a file.
ALTER TABLE job ADD COLUMN content_file TEXT;
ALTER TABLE job ADD COLUMN content_start INTEGER;
UPDATE job SET content_file = queue_id || '.msg', content_start = 0
WHERE in_file AND finished_at IS NULL;
ALTER TABLE job DROP COLUMN in_file;
CREATE INDEX job_content ON job (content_file)
WHERE finished_at IS NULL AND content_file IS NOT NULL;

-- name: present_turn
-- The first turn that waits in a lane.
SELECT turn FROM job
WHERE stage = 'waiting' AND route_key = ?1 AND priority = ?2 AND turn > 0 ORDER BY turn LIMIT 1

-- name: insert_message
-- A message that waits, or a duplicate (stage finished).  Changes nothing when the queue id
-- is known, which makes the step repeatable.
INSERT INTO job (queue_id, name, job_file, claimed_at, job_id, route_key, account, host, port,
                 tls_mode, message_id, reverse_path, smtputf8, require_tls, size_octets,
                 priority, expires_at, on_doubt, warnings, meta,
                 body_8bit, status, stage, due_at, finished_at, turn, content_file,
                 content_start)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
        ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28)
ON CONFLICT (queue_id) DO NOTHING

-- name: insert_refusal
-- A job that never became a message: finished from the start.
INSERT INTO job (queue_id, name, job_file, claimed_at, job_id, errors, warnings, meta,
                 finished_at, status, stage)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'invalid', 'finished')
ON CONFLICT (queue_id) DO NOTHING

-- name: insert_recipient
-- One forward-path of a new job, in its place.
INSERT INTO recipient (job, position, address) VALUES (?1, ?2, ?3)

-- name: insert_content
-- The octets of a small message.
INSERT INTO content (job, octets) VALUES (?1, ?2)

-- name: find_twin
-- The job with the same idempotency key, if one within the window was or may be sent.  Those
-- of which nobody can have got a mail do not count: put right, they may come again.
SELECT queue_id FROM job
WHERE job_id = ?1 AND claimed_at BETWEEN ?2 AND ?3 AND queue_id <> ?4
  AND (status NOT IN ('invalid', 'duplicate', 'failed', 'expired', 'canceled')
       OR EXISTS (SELECT 1 FROM recipient WHERE recipient.job = job.id AND possible_duplicate))
LIMIT 1

-- name: cancel_recipients
-- The recipients of a duplicate: nothing was sent, and the text says why.
UPDATE recipient SET status = 'canceled', text = ?2 WHERE job = ?1

-- name: known
-- Those of a JSON list of queue ids that have a row.
SELECT queue_id FROM job WHERE queue_id IN (SELECT value FROM json_each(?1))

-- name: under_way
-- Those of a JSON list of queue ids that are leased.
SELECT queue_id FROM job
WHERE stage = 'leased' AND queue_id IN (SELECT value FROM json_each(?1))

-- name: over
-- Waiting messages whose time is over, whatever their account does: they cost no attempt, only a
-- verdict.
SELECT id FROM job WHERE stage = 'waiting' AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2

-- name: fronts
-- The first of the line and the first of those that go by their time, and are due, of each lane
-- whose account is open, but for a JSON list of routes.  in_line or by_time tells who is behind.
-- A queue id as octets: one may be damaged.
SELECT front.priority, kind.name, coalesce(front.due_at, 0), CAST(front.queue_id AS BLOB), front.id
FROM lane
LEFT JOIN account_state ON account_state.name = lane.route_key
CROSS JOIN (SELECT 'in_line' AS name UNION ALL SELECT 'by_time') AS kind
CROSS JOIN job AS front ON front.id = iif(kind.name = 'in_line',
    (SELECT id FROM job WHERE stage = 'waiting' AND route_key = lane.route_key
        AND priority = lane.priority AND turn > 0
     ORDER BY turn, due_at, queue_id LIMIT 1),
    (SELECT id FROM job WHERE stage = 'waiting' AND route_key = lane.route_key
        AND priority = lane.priority AND turn = 0 AND due_at <= ?1
     ORDER BY due_at, queue_id LIMIT 1))
WHERE coalesce(account_state.until, 0) <= ?1
  AND lane.route_key NOT IN (SELECT value FROM json_each(?2))
ORDER BY front.priority

-- name: in_line
-- The first few of a line, by the first of them.  Whatever the clock (?3) says by now: they were
-- due as they came in.
SELECT coalesce(job.due_at, 0), CAST(job.queue_id AS BLOB), job.id
FROM job AS first CROSS JOIN job
WHERE first.id = ?1 AND job.stage = 'waiting' AND job.route_key = first.route_key
  AND job.priority = first.priority AND job.turn > 0 AND ?3 IS NOT NULL
ORDER BY job.turn, job.due_at, job.queue_id LIMIT ?2

-- name: by_time
-- The same of those that go by their time, and are due.
SELECT job.due_at, CAST(job.queue_id AS BLOB), job.id
FROM job AS first CROSS JOIN job
WHERE first.id = ?1 AND job.stage = 'waiting' AND job.route_key = first.route_key
  AND job.priority = first.priority AND job.turn = 0 AND job.due_at <= ?3
ORDER BY job.due_at, job.queue_id LIMIT ?2

-- name: lease
-- Lease a JSON list of ids.  Should one of them wait again, it goes by its time.
UPDATE job SET stage = 'leased', fence = fence + 1, dot = 0, turn = 0
WHERE id IN (SELECT value FROM json_each(?1))

-- name: leased_messages
-- What a lease tells, for a JSON list of ids, in its order, small content along.
SELECT job.id, queue_id, fence, account, host, port, tls_mode, reverse_path, smtputf8, require_tls,
       body_8bit, attempts, message_id, size_octets, priority, claimed_at, expires_at, on_doubt,
       (SELECT octets FROM content WHERE content.job = job.id), content_file, content_start
FROM json_each(?1) AS listed CROSS JOIN job ON job.id = listed.value
ORDER BY listed.key

-- name: open_recipients
-- The recipients still to be tried of a JSON list of job ids.
SELECT job, position, address FROM recipient
WHERE job IN (SELECT value FROM json_each(?1)) AND status IN ('pending', 'deferred')
ORDER BY job, position

-- name: unlease
-- A lease that nobody received: the message waits as before, unless a word was said to it.
UPDATE job SET stage = 'waiting'
WHERE queue_id = ?1 AND fence = ?2 AND stage = 'leased' AND word IS NULL

-- name: next_due
-- When the first message will be due or over: of each lane the first due time, not before
-- its account is open.
SELECT min(at) FROM (
    SELECT max(coalesce(account_state.until, 0), (
        SELECT min(due_at) FROM (
            SELECT * FROM (
                SELECT due_at FROM job WHERE stage = 'waiting' AND route_key = lane.route_key
                   AND priority = lane.priority AND turn = 0 ORDER BY due_at LIMIT 1)
            UNION ALL
            SELECT * FROM (
                SELECT due_at FROM job WHERE stage = 'waiting' AND route_key = lane.route_key
                   AND priority = lane.priority AND turn > 0 ORDER BY turn, due_at LIMIT 1)))) AS at
    FROM lane LEFT JOIN account_state ON account_state.name = lane.route_key
    WHERE lane.route_key NOT IN (SELECT value FROM json_each(?1))
    UNION ALL
    SELECT min(expires_at) FROM job WHERE stage = 'waiting')

-- name: put_back_due
-- The clock was put back: the due times that are ours go along.  One that was never leased and is
-- to come is its job's own (send_at).
UPDATE job INDEXED BY job_expiry SET due_at = due_at - ?1
WHERE stage = 'waiting' AND (fence > 0 OR due_at <= ?2)

-- name: put_back_accounts
-- A person's hold is until infinity, and stays there.
UPDATE account_state SET until = until - ?1

-- name: mark_dots
-- The end of the content is about to go out under these leases, a JSON list of [queue id, fence].
UPDATE job SET dot = 1 FROM json_each(?1) AS lease
WHERE queue_id = lease.value ->> 0 AND fence = lease.value ->> 1 AND stage = 'leased'

-- name: leased_jobs
-- The jobs under such leases; those that are lost have no row.
SELECT queue_id, fence, job.id, status, on_doubt, word, note
FROM json_each(?1) AS lease CROSS JOIN job
WHERE queue_id = lease.value ->> 0 AND fence = lease.value ->> 1 AND stage = 'leased'

-- name: settle_recipient
-- One verdict.  A final one is never overwritten: what a server accepted stays accepted.
UPDATE recipient SET status = ?3, code = ?4, enhanced = ?5, phase = ?6, kind = ?7, text = ?8,
                     hint = ?9, possible_duplicate = possible_duplicate OR ?10
WHERE job = ?1 AND position = ?2 AND status IN ('pending', 'deferred')

-- name: recipient_statuses
-- The statuses that a job's recipients have reached.
SELECT DISTINCT status FROM recipient WHERE job = ?1

-- name: statuses
-- The same of a JSON list of jobs, and each as often as it is there.
SELECT job, status FROM recipient WHERE job IN (SELECT value FROM json_each(?1))

-- name: wait_again
-- Some recipients are still open: back to waiting, or held.  The server last reached stays.
UPDATE job SET stage = ?2, status = ?3, due_at = ?4, attempts = attempts + ?5, dot = 0,
               word = NULL, note = iif(?2 = 'held', note, ''),
               tls = iif(?6 IS NULL, tls, ?7), server = coalesce(?6, server)
WHERE id = ?1

-- name: finish
-- Every recipient is final: the job waits for its report.
UPDATE job SET stage = 'finished', status = ?2, due_at = NULL, finished_at = ?3,
               attempts = attempts + ?4, dot = 0, word = NULL, note = '',
               tls = iif(?5 IS NULL, tls, ?6), server = coalesce(?5, server)
WHERE id = ?1

-- name: take_back_leases
-- At start: leases under which no dot was sent.  The attempt does not count.
UPDATE job SET stage = 'waiting' WHERE stage = 'leased' AND dot = 0 AND word IS NULL

-- name: left_leased
-- At start, after that: a lease under which the dot was or may have been sent, or to which a
-- word was said.
SELECT id, status, on_doubt, word, note, dot FROM job WHERE id = ?1

-- name: select_by_status
-- The unfinished of one status in the order of coming in, perhaps of one route.
SELECT id, queue_id FROM job
WHERE status = ?1 AND id > ?2 AND (?3 IS NULL OR route_key = ?3) ORDER BY id LIMIT ?4

-- name: select_by_key
-- The same by queue id, job id or name, of a JSON list of statuses.
SELECT id, queue_id FROM job
WHERE (queue_id = ?1 OR (job_id = ?1 AND job_id IS NOT NULL) OR name = ?1)
  AND +status IN (SELECT value FROM json_each(?2))
  AND id > ?3 AND (?4 IS NULL OR route_key = ?4) ORDER BY id LIMIT ?5

-- name: standing
-- How the messages of a JSON list of queue ids stand before a word is said to them, and after.
SELECT id, queue_id, name, job_id, route_key, stage, status, due_at, expires_at, word,
       attempts > 0 OR EXISTS (
           SELECT 1 FROM recipient WHERE recipient.job = job.id AND recipient.status <> 'pending')
FROM job WHERE queue_id IN (SELECT value FROM json_each(?1))

-- name: note_word
-- A word to a leased message, for when its lease ends; NULL takes one back.
UPDATE job SET word = ?2, note = ?3 WHERE id = ?1

-- name: park
-- Held from now on, its due time kept.
UPDATE job SET stage = 'held', status = 'held', note = ?2 WHERE id = ?1

-- name: let_wait
-- Waiting again, or due earlier.
UPDATE job SET stage = 'waiting', status = ?2, due_at = ?3, turn = 0, note = '' WHERE id = ?1

-- name: cancel_open
-- Whoever was not tried learns why from the text; the others keep their server's last words.
UPDATE recipient SET status = 'canceled', text = iif(status = 'pending', ?2, text),
                     hint = iif(status = 'pending', hint, ?2)
WHERE job = ?1 AND status IN ('pending', 'deferred')

-- name: unreported
-- Finished jobs without a result yet, oldest first.
SELECT id, queue_id, name, job_file, claimed_at, status, job_id, account, server, tls,
       message_id, reverse_path, size_octets, priority, attempts, due_at, expires_at,
       finished_at, errors, warnings, meta, note
FROM job WHERE stage = 'finished' AND reported = 0 ORDER BY finished_at, id LIMIT ?1

-- name: mark_reported
-- The result lies in its folder.  Tells in which file the content lies.  The plus signs keep
-- SQLite on the queue ids: it would walk all that is unreported.
UPDATE job SET reported = 1
WHERE queue_id IN (SELECT value FROM json_each(?1)) AND +stage = 'finished' AND +reported = 0
RETURNING id, CAST(content_file AS BLOB)

-- name: drop_content
-- The octets of small messages whose jobs are reported, by a JSON list of ids.
DELETE FROM content WHERE job IN (SELECT value FROM json_each(?1))

-- name: unneeded_files
-- Of a JSON list of content files those in which no job that is not finished has its content.
SELECT value FROM json_each(?1)
WHERE NOT EXISTS (SELECT 1 FROM job WHERE content_file = value AND finished_at IS NULL)

-- name: needed_files
-- The content files that are still needed, as octets: one may be damaged.
SELECT DISTINCT CAST(content_file AS BLOB) FROM job INDEXED BY job_content
WHERE finished_at IS NULL AND content_file IS NOT NULL

-- name: record
-- One job by its row id.
SELECT id, queue_id, name, job_file, claimed_at, status, job_id, account, server, tls,
       message_id, reverse_path, size_octets, priority, attempts, due_at, expires_at,
       finished_at, errors, warnings, meta, note
FROM job WHERE id = ?1

-- name: raw_job
-- The same with texts as octets: in a damaged row they need not be Unicode.
SELECT id, CAST(queue_id AS BLOB), CAST(name AS BLOB), CAST(job_file AS BLOB), claimed_at,
       CAST(status AS BLOB), CAST(job_id AS BLOB), CAST(account AS BLOB), CAST(server AS BLOB),
       CAST(tls AS BLOB), CAST(message_id AS BLOB), CAST(reverse_path AS BLOB), size_octets,
       priority, attempts, due_at, expires_at, finished_at, CAST(errors AS BLOB),
       CAST(warnings AS BLOB), CAST(meta AS BLOB), CAST(note AS BLOB)
FROM job WHERE id = ?1

-- name: raw_recipients
-- A job's recipients in the same way.
SELECT position, CAST(address AS BLOB), CAST(status AS BLOB), code, CAST(enhanced AS BLOB),
       CAST(phase AS BLOB), CAST(kind AS BLOB), CAST(text AS BLOB), CAST(hint AS BLOB),
       possible_duplicate
FROM recipient WHERE job = ?1 ORDER BY position

-- name: mend_job
-- What could be saved of a damaged row, in its place.
UPDATE job SET queue_id = ?2, name = ?3, job_file = ?4, claimed_at = ?5, status = ?6, job_id = ?7,
               account = ?8, server = ?9, tls = ?10, message_id = ?11, reverse_path = ?12,
               size_octets = ?13, priority = ?14, attempts = ?15, due_at = ?16, expires_at = ?17,
               finished_at = ?18, errors = ?19, warnings = ?20, meta = ?21, note = ?22
WHERE id = ?1

-- name: mend_recipient
-- The same for a recipient.
UPDATE recipient SET address = ?3, status = ?4, code = ?5, enhanced = ?6, phase = ?7, kind = ?8,
                     text = ?9, hint = ?10, possible_duplicate = ?11
WHERE job = ?1 AND position = ?2

-- name: refuse_open
-- The recipients of a message that cannot be sent, since its row is damaged.
UPDATE recipient SET status = 'rejected', kind = 'content', text = ?2, hint = ?3
WHERE job = ?1 AND status IN ('pending', 'deferred')

-- name: incomplete
-- Damaged rows that no lease would ever find, or that would never be over.
SELECT id FROM job WHERE stage = 'waiting' AND route_key IS NULL
UNION
SELECT id FROM job WHERE stage = 'waiting' AND expires_at IS NULL

-- name: leased_ids
-- Leases that are left at start.
SELECT id FROM job WHERE stage = 'leased'

-- name: records_by_status
-- The newest jobs of one status.
SELECT id, queue_id, name, job_file, claimed_at, status, job_id, account, server, tls,
       message_id, reverse_path, size_octets, priority, attempts, due_at, expires_at,
       finished_at, errors, warnings, meta, note
FROM job WHERE status = ?1 ORDER BY id DESC LIMIT ?2

-- name: find
-- Jobs by queue id, job id or name.
SELECT id, queue_id, name, job_file, claimed_at, status, job_id, account, server, tls,
       message_id, reverse_path, size_octets, priority, attempts, due_at, expires_at,
       finished_at, errors, warnings, meta, note
FROM job WHERE queue_id = ?1 OR (job_id = ?1 AND job_id IS NOT NULL) OR name = ?1
ORDER BY id DESC LIMIT ?2

-- name: recipients
-- All recipients of a JSON list of job ids, in their places.
SELECT job, address, status, code, enhanced, phase, kind, text, hint, possible_duplicate
FROM recipient WHERE job IN (SELECT value FROM json_each(?1)) ORDER BY job, position

-- name: counts
-- How many jobs stand at each status of a JSON list: a damaged row may hold another.
SELECT status, count(*) FROM job WHERE status IN (SELECT value FROM json_each(?1)) GROUP BY status

-- name: backlogs
-- How many messages of each route wait or are under way, and when the first is due.
SELECT route_key, sum(messages), min(at) FROM (
    SELECT route_key, count(*) AS messages, min(due_at) AS at
    FROM job WHERE stage = 'waiting' GROUP BY route_key
    UNION ALL
    SELECT route_key, count(*), NULL FROM job WHERE stage = 'leased' GROUP BY route_key)
GROUP BY route_key

-- name: depths
-- What is not finished, of each route: all that waits, those of it that were tried, what is held,
-- what is leased.  Nearly all of a long queue is counted in an index that holds all it takes.
SELECT CAST(route_key AS BLOB), sum(waiting), sum(deferred), sum(held), sum(leased) FROM (
    SELECT route_key, count(*) AS waiting, 0 AS deferred, 0 AS held, 0 AS leased
    FROM job WHERE stage = 'waiting' GROUP BY route_key
    UNION ALL
    SELECT route_key, 0, count(*), 0, 0
    FROM job WHERE status = 'deferred' AND +stage = 'waiting' GROUP BY route_key
    UNION ALL
    SELECT route_key, 0, 0, count(*), 0 FROM job WHERE status = 'held' GROUP BY route_key
    UNION ALL
    SELECT route_key, 0, 0, 0, count(*) FROM job WHERE stage = 'leased' GROUP BY route_key)
WHERE route_key IS NOT NULL GROUP BY route_key

-- name: oldest
-- Since when the oldest has waited: the first due time of any lane, or when the first of the
-- deferred came in.  Of what stands in a line, the oldest is among those of the first two turns,
-- since nobody's next comes later.
SELECT min(at) FROM (
    SELECT (SELECT due_at FROM job WHERE stage = 'waiting' AND job.route_key = lane.route_key
               AND job.priority = lane.priority AND turn = 0
            ORDER BY due_at LIMIT 1) AS at FROM lane
    UNION ALL
    SELECT (SELECT due_at FROM job WHERE stage = 'waiting' AND job.route_key = present.route_key
               AND job.priority = present.priority AND turn = present.turn + present.following
            ORDER BY due_at LIMIT 1)
    FROM (SELECT route_key, priority, following, (
              SELECT turn FROM job WHERE stage = 'waiting' AND job.route_key = lane.route_key
                 AND job.priority = lane.priority AND turn > 0 ORDER BY turn LIMIT 1) AS turn
          FROM lane CROSS JOIN (SELECT 0 AS following UNION ALL SELECT 1)) AS present
    UNION ALL
    SELECT * FROM (SELECT claimed_at FROM job WHERE status = 'deferred' ORDER BY id LIMIT 1))

-- name: latest
-- The jobs that finished last, with the recipient that tells most; texts as octets: one may be
-- damaged.
SELECT CAST(queue_id AS BLOB), CAST(name AS BLOB), CAST(job.status AS BLOB),
       CAST(route_key AS BLOB), attempts, finished_at,
       (SELECT count(*) FROM recipient WHERE recipient.job = job.id),
       (SELECT count(*) FROM recipient WHERE recipient.job = job.id AND status = 'accepted'),
       CAST(telling.address AS BLOB), telling.code, CAST(telling.text AS BLOB),
       CAST(telling.hint AS BLOB), CAST(errors AS BLOB)
FROM job LEFT JOIN recipient AS telling ON telling.job = job.id AND telling.position = (
    SELECT position FROM recipient WHERE recipient.job = job.id
    ORDER BY status = 'accepted', position LIMIT 1)
WHERE job.id IN (
    SELECT * FROM (SELECT id FROM job WHERE stage = 'finished' AND reported = 0
                   ORDER BY finished_at DESC LIMIT ?1)
    UNION ALL
    SELECT * FROM (SELECT id FROM job WHERE stage = 'finished' AND reported = 1
                   ORDER BY finished_at DESC LIMIT ?1))
ORDER BY finished_at DESC, job.id DESC LIMIT ?1

-- name: account_states
-- All account states, texts as octets: one may be damaged.
SELECT CAST(name AS BLOB), CAST(state AS BLOB), until, since, failures, CAST(reason AS BLOB),
       CAST(hint AS BLOB) FROM account_state

-- name: set_account_state
-- One account's state, in place of the one before.
INSERT OR REPLACE INTO account_state (name, state, until, since, failures, reason, hint)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)

-- name: purge
-- Forget some jobs that are reported and finished before a time.
DELETE FROM job WHERE id IN (
    SELECT id FROM job WHERE stage = 'finished' AND reported = 1 AND finished_at < ?1
    ORDER BY finished_at LIMIT ?2)
