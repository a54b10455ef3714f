-- Whom a run waited for: the time in which only this agent worked, in seconds and as a share of the whole run.
WITH rounds AS (
SELECT trace_id, attributes->>'massgen.agent_id' AS agent, start_timestamp, end_timestamp
FROM records
WHERE span_name LIKE 'agent.%'
),
moments AS (
SELECT trace_id, start_timestamp AS moment, 1 AS change FROM rounds
UNION ALL
SELECT trace_id, end_timestamp AS moment, -1 AS change FROM rounds
),
steps AS (
SELECT trace_id, moment, SUM(change) AS change
FROM moments
GROUP BY trace_id, moment
),
spells AS (
SELECT
trace_id,
moment AS begins,
LEAD(moment) OVER (PARTITION BY trace_id ORDER BY moment) AS ends,
SUM(change) OVER (PARTITION BY trace_id ORDER BY moment) AS working
FROM steps
)
SELECT
rounds.trace_id,
rounds.agent,
SUM(EXTRACT(EPOCH FROM (spells.ends - spells.begins))) AS alone_seconds,
SUM(EXTRACT(EPOCH FROM (spells.ends - spells.begins))) / MAX(session.duration) AS share
FROM spells
JOIN rounds ON rounds.trace_id = spells.trace_id AND rounds.start_timestamp <= spells.begins AND rounds.end_timestamp >= spells.ends
JOIN records session ON session.trace_id = spells.trace_id AND session.span_name = 'coordination.session'
WHERE spells.working = 1
GROUP BY 1, 2
ORDER BY share DESC;
