-- How far the agents agreed: of each run, the votes that stood at its end, and the share of them that the winner got.
WITH last_rounds AS (
SELECT
trace_id,
attributes->>'massgen.outcome' AS outcome,
attributes->>'massgen.voted_for_label' AS voted_for,
ROW_NUMBER() OVER (PARTITION BY trace_id, attributes->>'massgen.agent_id' ORDER BY start_timestamp DESC) AS place
FROM records
WHERE span_name LIKE 'agent.%.round_%'
)
SELECT
session.trace_id,
session.attributes->>'massgen.winner_label' AS winner,
COUNT(*) AS votes,
COUNT(*) FILTER (WHERE last_rounds.voted_for = session.attributes->>'massgen.winner_label') AS votes_for_winner,
COUNT(*) FILTER (WHERE last_rounds.voted_for = session.attributes->>'massgen.winner_label')::float / COUNT(*) AS agreement
FROM records session
JOIN last_rounds ON last_rounds.trace_id = session.trace_id
WHERE session.span_name = 'coordination.session'
AND last_rounds.place = 1
AND last_rounds.outcome = 'vote'
GROUP BY 1, 2
ORDER BY agreement, trace_id;
