-- Persons' words, reports and questions on PostgreSQL; each query with its name and reason.

-- name: ring
-- Wake the other machines ($1: who says so) and those that file results ($2: the owners); and tell
-- the transaction's number, by which it is asked for when the answer to its COMMIT is lost.
SELECT pg_notify('asyncnet_ready', $1) WHERE $1 IS NOT NULL
UNION ALL SELECT pg_notify('asyncnet_finished', owner) FROM unnest($2::text[]) AS owner

-- name: this_transaction
-- The number of the transaction under way.
SELECT pg_current_xact_id()::text

-- name: outcome
-- What became of a transaction: committed, aborted, in progress, or NULL when that is forgotten.
SELECT pg_xact_status($1::text::xid8)

-- name: standing
-- How some messages stand before a word is said to them, and after; locked.
SELECT id, queue_id, name, job_id, route_key, stage, status, due_at, expires_at, word,
       attempts > 0 OR EXISTS (
           SELECT FROM recipient WHERE recipient.job = job.id AND recipient.status <> 'pending'),
       owner
FROM job WHERE queue_id = ANY($1::text[]) ORDER BY id FOR UPDATE OF job

-- name: note_word
-- A word to a leased message, for when its lease ends; NULL takes one back.
UPDATE job SET word = $2, note = $3 WHERE id = $1

-- name: park
-- Held from now on, its due time kept.
UPDATE job SET stage = 'held', status = 'held', note = $2 WHERE id = $1

-- name: let_wait
-- Waiting again, or due earlier.
UPDATE job SET stage = 'waiting', status = $2, due_at = $3, turn = 0, note = '' WHERE id = $1

-- name: select
-- The unfinished in the order of coming in, by status, and perhaps by route and key.
SELECT id, queue_id FROM job
WHERE status = ANY($1::text[]) AND id > $2 AND ($3::bytea IS NULL OR route_key = $3)
  AND ($4::bytea IS NULL OR queue_id = $5 OR job_id = $4 OR name = $4)
ORDER BY id LIMIT $6

-- name: known
-- Those of some queue ids that have a row.
SELECT queue_id FROM job WHERE queue_id = ANY($1::text[])

-- name: under_way
-- Those of some queue ids that are leased.
SELECT queue_id FROM job WHERE stage = 'leased' AND queue_id = ANY($1::text[])

-- name: next_due
-- When the first message will be due or over: of each lane the first due time, not before its
-- account is open.
WITH RECURSIVE lane AS (
    (SELECT route_key, priority FROM job WHERE stage = 'waiting'
     ORDER BY route_key, priority LIMIT 1)
    UNION ALL
    SELECT next.route_key, next.priority FROM lane CROSS JOIN LATERAL (
        SELECT job.route_key, job.priority FROM job WHERE stage = 'waiting'
           AND (job.route_key, job.priority) > (lane.route_key, lane.priority)
        ORDER BY job.route_key, job.priority LIMIT 1) AS next
)
SELECT least((
    SELECT min(greatest(coalesce(account_state.until, 0), (
        SELECT min(due_at) FROM (
            (SELECT due_at FROM job WHERE stage = 'waiting' AND job.route_key = lane.route_key
                AND job.priority = lane.priority AND turn = 0
             ORDER BY due_at LIMIT 1)
            UNION ALL
            (SELECT due_at FROM job WHERE stage = 'waiting' AND job.route_key = lane.route_key
                AND job.priority = lane.priority AND turn > 0
             ORDER BY turn, due_at LIMIT 1)) AS first)))
    FROM lane LEFT JOIN account_state ON account_state.name = lane.route_key
    WHERE lane.route_key <> ALL($1::bytea[])),
    (SELECT expires_at FROM job WHERE stage = 'waiting' ORDER BY expires_at LIMIT 1))

-- name: unreported
-- An owner's finished jobs without a result yet, oldest first.
SELECT id, queue_id, name, job_file, claimed_at, status, job_id, account, server, tls,
       message_id, reverse_path, size_octets, priority, attempts, due_at, expires_at,
       finished_at, errors, warnings, meta, note
FROM job WHERE stage = 'finished' AND NOT reported AND owner = $1
ORDER BY finished_at, id LIMIT $2

-- name: mend_queue_id
-- A damaged one's place is taken by one under which files can be made.
UPDATE job SET queue_id = $2 WHERE id = $1

-- name: mark_reported
-- The results lie in their folders.
UPDATE job SET reported = true
WHERE queue_id = ANY($1::text[]) AND stage || '' = 'finished' AND reported IS NOT TRUE RETURNING id

-- name: records
-- The newest jobs of some statuses.
SELECT id, queue_id, name, job_file, claimed_at, status, job_id, account, server, tls,
       message_id, reverse_path, size_octets, priority, attempts, due_at, expires_at,
       finished_at, errors, warnings, meta, note
FROM job WHERE status = ANY($1::text[]) ORDER BY id DESC LIMIT $2

-- name: find
-- Jobs by queue id, job id or name.
SELECT id, queue_id, name, job_file, claimed_at, status, job_id, account, server, tls,
       message_id, reverse_path, size_octets, priority, attempts, due_at, expires_at,
       finished_at, errors, warnings, meta, note
FROM job WHERE queue_id = $1 OR job_id = $2 OR name = $2 ORDER BY id DESC LIMIT $3

-- name: recipients
-- All recipients of some jobs, in their places.
SELECT job, address, status, code, enhanced, phase, kind, text, hint, possible_duplicate
FROM recipient WHERE job = ANY($1::bigint[]) ORDER BY job, position

-- name: counts
-- How many jobs stand at each status.
SELECT status, count(*) FROM job GROUP BY status

-- name: backlogs
-- How many messages of each route wait or are under way, and when the first is due.
SELECT route_key, sum(messages)::bigint, min(at) FROM (
    SELECT route_key, count(*) AS messages, min(due_at) AS at
    FROM job WHERE stage = 'waiting' GROUP BY route_key
    UNION ALL
    SELECT route_key, count(*), NULL FROM job WHERE stage = 'leased' GROUP BY route_key) AS parts
GROUP BY route_key

-- name: depths
-- What is not finished, of each route: all that waits, those of it that were tried, what is held,
-- what is leased.
SELECT route_key, sum(waiting)::bigint, sum(deferred)::bigint, sum(held)::bigint,
       sum(leased)::bigint
FROM (
    SELECT route_key, count(*) AS waiting, 0 AS deferred, 0 AS held, 0 AS leased
    FROM job WHERE stage = 'waiting' GROUP BY route_key
    UNION ALL
    SELECT route_key, 0, count(*), 0, 0
    FROM job WHERE status = 'deferred' AND stage = 'waiting' GROUP BY route_key
    UNION ALL
    SELECT route_key, 0, 0, count(*), 0 FROM job WHERE status = 'held' GROUP BY route_key
    UNION ALL
    SELECT route_key, 0, 0, 0, count(*) FROM job WHERE stage = 'leased' GROUP BY route_key) AS parts
WHERE route_key IS NOT NULL GROUP BY route_key

-- name: oldest
-- Since when the oldest has waited: the first due time of any lane, or when the first of the
-- deferred came in.  Of what stands in a line, the oldest is among those of the first two turns,
-- since nobody's next comes later.
WITH RECURSIVE lane AS (
    (SELECT route_key, priority FROM job WHERE stage = 'waiting'
     ORDER BY route_key, priority LIMIT 1)
    UNION ALL
    SELECT next.route_key, next.priority FROM lane CROSS JOIN LATERAL (
        SELECT job.route_key, job.priority FROM job WHERE stage = 'waiting'
           AND (job.route_key, job.priority) > (lane.route_key, lane.priority)
        ORDER BY job.route_key, job.priority LIMIT 1) AS next
)
SELECT least(
    (SELECT min((
        SELECT due_at FROM job WHERE stage = 'waiting' AND job.route_key = lane.route_key
           AND job.priority = lane.priority AND turn = first.turn
        ORDER BY due_at LIMIT 1))
     FROM lane CROSS JOIN LATERAL (
        SELECT 0 AS turn
        UNION ALL
        SELECT unnest(ARRAY[present.turn, present.turn + 1]) FROM (
            SELECT turn FROM job WHERE stage = 'waiting' AND job.route_key = lane.route_key
               AND job.priority = lane.priority AND turn > 0
            ORDER BY turn LIMIT 1) AS present) AS first),
    (SELECT claimed_at FROM job WHERE status = 'deferred' ORDER BY id LIMIT 1))

-- name: latest
-- The jobs that finished last, with the recipient that tells most.
SELECT queue_id, name, job.status, route_key, attempts, finished_at,
       (SELECT count(*) FROM recipient WHERE recipient.job = job.id),
       (SELECT count(*) FROM recipient WHERE recipient.job = job.id AND status = 'accepted'),
       telling.address, telling.code, telling.text, telling.hint, errors
FROM job LEFT JOIN LATERAL (
    SELECT address, code, text, hint FROM recipient WHERE recipient.job = job.id
    ORDER BY status = 'accepted', position LIMIT 1) AS telling ON true
WHERE job.id IN (
    (SELECT id FROM job WHERE stage = 'finished' AND NOT reported
     ORDER BY finished_at DESC LIMIT $1)
    UNION ALL
    (SELECT id FROM job WHERE stage = 'finished' AND reported
     ORDER BY finished_at DESC LIMIT $1))
ORDER BY finished_at DESC, job.id DESC LIMIT $1

-- name: account_states
-- All account states.
SELECT name, state, until, since, failures, reason, hint FROM account_state

-- name: set_account_state
-- One account's state, in place of the one before.
INSERT INTO account_state (name, state, until, since, failures, reason, hint)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (name) DO UPDATE SET state = $2, until = $3, since = $4, failures = $5, reason = $6,
                                 hint = $7

-- name: purge
-- Forget some jobs that are reported and finished before a time.
WITH old AS (
    SELECT id FROM job WHERE stage = 'finished' AND reported AND finished_at < $1
    ORDER BY finished_at LIMIT $2)
DELETE FROM job USING old WHERE job.id = old.id RETURNING job.id
