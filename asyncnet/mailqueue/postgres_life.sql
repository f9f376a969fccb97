-- What happens to a job on PostgreSQL, step by step; each query with its name and reason.
--
-- Times of jobs come in as parameters; only leases go by the database's clock, which is the one
-- that all machines share.
--
-- Where rows are sought by their id or queue id, their stage is asked for as stage || '': to the
-- planner, which knows nothing of a queue that is young, the small index of the stage looks cheaper
-- than that of the ids, and it would walk all of it once for each row.

-- name: lock_job_ids
-- One machine at a time judges whether a job id is a duplicate; in order, so that no two wait for
-- each other.
SELECT pg_advisory_xact_lock(key)
FROM (SELECT DISTINCT hashtextextended(encode(job_id, 'hex'), 7) AS key
      FROM unnest($1::bytea[]) AS job_id ORDER BY key) AS keys

-- name: find_twins
-- The jobs of some idempotency keys that were or may be sent.  Those of which nobody can have got a
-- mail do not count: put right, they may come again.
SELECT job_id, claimed_at, queue_id FROM job
WHERE job_id = ANY($1::bytea[])
  AND (status NOT IN ('invalid', 'duplicate', 'failed', 'expired', 'canceled')
       OR EXISTS (SELECT FROM recipient WHERE recipient.job = job.id AND possible_duplicate))

-- name: present_turns
-- The first turn that waits in each of some lanes, in their order.
SELECT (SELECT turn FROM job WHERE stage = 'waiting' AND job.route_key = lane.route_key
           AND job.priority = lane.priority AND turn > 0
        ORDER BY turn LIMIT 1)
FROM unnest($1::bytea[], $2::integer[]) WITH ORDINALITY AS lane (route_key, priority, number)
ORDER BY number

-- name: insert_message
-- A message that waits, or a duplicate (stage finished).  Gives nothing when the queue id is known,
-- which makes the step repeatable.
INSERT INTO job (queue_id, name, job_file, claimed_at, job_id, route_key, account, host, port,
                 tls_mode, message_id, reverse_path, smtputf8, require_tls, size_octets,
                 priority, expires_at, on_doubt, warnings, meta,
                 body_8bit, id, owner, status, stage, due_at, finished_at, turn)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
        $20, $21, coalesce($22, nextval(pg_get_serial_sequence('job', 'id'))), $23, $24, $25, $26,
        $27, $28)
ON CONFLICT (queue_id) DO NOTHING RETURNING queue_id, id

-- name: insert_refusal
-- A job that never became a message: finished from the start.
INSERT INTO job (queue_id, name, job_file, claimed_at, job_id, errors, warnings, meta,
                 finished_at, owner, status, stage)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'invalid', 'finished')
ON CONFLICT (queue_id) DO NOTHING

-- name: insert_recipient
-- One forward-path of a new job, in its place.
INSERT INTO recipient (job, position, address, status, text) VALUES ($1, $2, $3, $4, $5)

-- name: insert_content
-- A small message, whole.
INSERT INTO content (job, part, octets) VALUES ($1, 0, $2)

-- name: insert_parts
-- Some parts of a larger one, from a number on.
INSERT INTO content (job, part, octets)
SELECT $1, $2 + number - 1, octets FROM unnest($3::bytea[]) WITH ORDINALITY AS part (octets, number)

-- name: reserve_id
-- The id of a job whose content is streamed in before its row.
SELECT nextval(pg_get_serial_sequence('job', 'id'))

-- name: drop_content
-- The octets of some jobs.
DELETE FROM content WHERE job = ANY($1::bigint[])

-- name: content_parts
-- Some parts of a message's content, in order.
SELECT octets FROM content
WHERE job = (SELECT id FROM job WHERE queue_id = $1) AND part >= $2 AND part < $3 ORDER BY part

-- name: enter_holder
-- A process that will hold leases.
INSERT INTO holder (owner, until) VALUES ($1, clock_timestamp() + $2 * interval '1 second')
RETURNING id

-- name: beat
-- The leases of a process hold on; no row when they were taken away.
UPDATE holder SET until = clock_timestamp() + $2 * interval '1 second' WHERE id = $1 RETURNING id

-- name: leave
-- A process that ends: its leases are over at once.
UPDATE holder SET until = '-infinity' WHERE id = $1

-- name: put_back_holders
-- Of terms that end later than any beat can have said, the server's clock was put back since: they
-- end a term from now on.
UPDATE holder SET until = clock_timestamp() + $1 * interval '1 second' WHERE id IN (
    SELECT id FROM holder WHERE until > clock_timestamp() + $1 * interval '1 second'
    FOR UPDATE SKIP LOCKED)

-- name: dead_holders
-- Processes whose leases are over: earlier ones of an owner, or those that did not beat in time.
-- After a start of the server all of them get a term to come back in; a start that is to come, by a
-- clock that was put back since, was long ago.
SELECT id FROM holder
WHERE owner = $1 OR until = '-infinity'
   OR greatest(until, pg_postmaster_start_time() + $2 * interval '1 second') < clock_timestamp()
   OR (until < clock_timestamp()
       AND pg_postmaster_start_time() > clock_timestamp() + $2 * interval '1 second')
FOR UPDATE SKIP LOCKED

-- name: take_back_leases
-- Of dead holders: leases under which no dot was sent.  The attempt does not count.
UPDATE job SET stage = 'waiting', holder = NULL
WHERE holder = ANY($1::bigint[]) AND stage = 'leased' AND NOT dot AND word IS NULL

-- name: left_leased
-- Of dead holders, after that: leases under which the dot was or may have been sent, and those to
-- which a word was said.
SELECT queue_id, fence, dot FROM job WHERE holder = ANY($1::bigint[]) AND stage = 'leased'

-- name: remove_holders
-- Their leases are judged.
DELETE FROM holder WHERE id = ANY($1::bigint[])

-- name: lease
-- Lease what is over, then what is due, $4 in all.  Each lane whose account is open gives the first
-- few of its line and of those that go by their time, and the first of each come before the second
-- of any.  More than wanted are looked at, since other machines may have some of them locked just
-- now, and those are skipped.  Should one of them wait again, it goes by its time.
WITH RECURSIVE lane AS (
    (SELECT route_key, priority FROM job WHERE stage = 'waiting'
     ORDER BY route_key, priority LIMIT 1)
    UNION ALL
    SELECT next.route_key, next.priority FROM lane CROSS JOIN LATERAL (
        SELECT job.route_key, job.priority FROM job WHERE stage = 'waiting'
           AND (job.route_key, job.priority) > (lane.route_key, lane.priority)
        ORDER BY job.route_key, job.priority LIMIT 1) AS next
), due AS (
    SELECT id, lane.priority, due_at, queue_id, row_number() OVER (
        PARTITION BY lane.route_key, lane.priority, turn > 0
        ORDER BY turn, due_at, queue_id) AS place
    FROM lane
    LEFT JOIN account_state ON account_state.name = lane.route_key
    CROSS JOIN LATERAL (
        (SELECT id, turn, due_at, queue_id, expires_at FROM job WHERE stage = 'waiting'
            AND job.route_key = lane.route_key AND job.priority = lane.priority
            AND job.turn = 0 AND job.due_at <= $1
         ORDER BY job.due_at, job.queue_id LIMIT $2)
        UNION ALL
        (SELECT id, turn, due_at, queue_id, expires_at FROM job WHERE stage = 'waiting'
            AND job.route_key = lane.route_key AND job.priority = lane.priority
            AND job.turn > 0
         ORDER BY job.turn, job.due_at, job.queue_id LIMIT $2)) AS front
    WHERE coalesce(account_state.until, 0) <= $1 AND lane.route_key <> ALL($3::bytea[])
      AND (front.expires_at <= $1) IS NOT TRUE
), chosen AS (
    (SELECT id, 0 AS rank, row_number() OVER (ORDER BY expires_at) AS place FROM job
     WHERE stage = 'waiting' AND expires_at <= $1 ORDER BY expires_at LIMIT $2)
    UNION ALL
    (SELECT id, 1, row_number() OVER (ORDER BY priority, due.place, due_at, queue_id) AS place
     FROM due ORDER BY priority, due.place, due_at, queue_id LIMIT $2)
), taken AS MATERIALIZED (
    SELECT job.id, chosen.rank, chosen.place FROM chosen JOIN job ON job.id = chosen.id
    WHERE job.stage || '' = 'waiting'
    ORDER BY chosen.rank, chosen.place LIMIT $4
    FOR UPDATE OF job SKIP LOCKED
)
UPDATE job SET stage = 'leased', fence = fence + 1, dot = false, holder = $5, turn = 0
FROM taken WHERE job.id = taken.id
RETURNING job.id, queue_id, fence, account, host, port, tls_mode, reverse_path, smtputf8,
    require_tls, body_8bit, attempts, message_id, size_octets, priority, claimed_at, expires_at,
    on_doubt,
    (SELECT octets FROM content WHERE content.job = job.id AND part = 0 AND size_octets <= $6),
    taken.rank, taken.place,
    ARRAY(SELECT position FROM recipient WHERE recipient.job = job.id
             AND recipient.status IN ('pending', 'deferred') ORDER BY position),
    ARRAY(SELECT address FROM recipient WHERE recipient.job = job.id
             AND recipient.status IN ('pending', 'deferred') ORDER BY position),
    owner

-- name: refuse_open
-- The recipients of a message that cannot be sent, since its row is damaged.
UPDATE recipient SET status = 'rejected', kind = 'content', text = $2, hint = $3
WHERE job = $1 AND status IN ('pending', 'deferred')

-- name: unlease
-- Leases that nobody received: the messages wait as before, unless a word was said to them.
UPDATE job SET stage = 'waiting', holder = NULL
FROM unnest($1::text[], $2::bigint[]) AS lease (queue_id, fence)
WHERE job.queue_id = lease.queue_id AND job.fence = lease.fence AND stage || '' = 'leased'
  AND word IS NULL

-- name: mark_dots
-- The ends of some contents are about to go out under these leases, which hold for half a term at
-- least from here on.  (Comparing the count makes the beat come before any row of job is locked,
-- the order in which everybody locks.)
WITH beat AS (
    UPDATE holder SET until = clock_timestamp() + $4 * interval '1 second'
    WHERE id = $3 AND until < clock_timestamp() + $4 / 2 * interval '1 second' RETURNING id)
UPDATE job SET dot = true FROM unnest($1::text[], $2::bigint[]) AS mark (queue_id, fence)
WHERE (SELECT count(*) FROM beat) >= 0
  AND job.queue_id = mark.queue_id AND job.fence = mark.fence AND stage || '' = 'leased'
RETURNING job.queue_id, job.fence

-- name: leased_jobs
-- The jobs under some leases, locked; those whose lease is lost are missing.
SELECT job.queue_id, job.fence, id, status, on_doubt, word, note, owner,
       ARRAY(SELECT recipient.status FROM recipient WHERE recipient.job = job.id
             ORDER BY position)
FROM unnest($1::text[], $2::bigint[]) AS lease (queue_id, fence)
JOIN job ON job.queue_id = lease.queue_id AND job.fence = lease.fence
WHERE stage || '' = 'leased' ORDER BY id FOR UPDATE OF job

-- name: settle_recipient
-- One verdict.  A final one is never overwritten: what a server accepted stays accepted.
UPDATE recipient SET status = $3, code = $4, enhanced = $5, phase = $6, kind = $7, text = $8,
                     hint = $9, possible_duplicate = possible_duplicate OR $10
WHERE job = $1 AND position = $2 AND status IN ('pending', 'deferred')

-- name: settle_job
-- A lease ends.  The server last reached stays; a note stays with what is held.
UPDATE job SET stage = $2, status = $3, due_at = $4, finished_at = $5, attempts = attempts + $6,
               dot = false, holder = NULL, word = NULL,
               note = CASE WHEN $2 = 'held' THEN note ELSE '' END,
               tls = CASE WHEN $7::bytea IS NULL THEN tls ELSE $8 END,
               server = coalesce($7, server)
WHERE id = $1

-- name: cancel_open
-- Whoever was not tried learns why from the text; the others keep their server's last words.
UPDATE recipient SET status = 'canceled',
                     text = CASE WHEN status = 'pending' THEN $2 ELSE text END,
                     hint = CASE WHEN status = 'pending' THEN hint ELSE $2 END
WHERE job = $1 AND status IN ('pending', 'deferred')
