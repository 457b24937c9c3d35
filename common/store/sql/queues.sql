-- Which queues are paused.

-- name: pause_queue
INSERT INTO paused_queues (queue_name) VALUES ($1) ON CONFLICT (queue_name) DO NOTHING

-- name: resume_queue
DELETE FROM paused_queues WHERE queue_name = $1

-- name: is_queue_paused
SELECT EXISTS (SELECT FROM paused_queues WHERE queue_name = $1) AS is_paused
