-- Whom agents vote for: each voter with each agent that it voted for, how often, and how often for itself.
SELECT
attributes->>'massgen.agent_id' AS voter,
attributes->>'massgen.voted_for' AS voted_for,
COUNT(*) AS votes,
COUNT(*) FILTER (WHERE attributes->>'massgen.agent_id' = attributes->>'massgen.voted_for') AS for_itself
FROM records
WHERE span_name LIKE 'Agent vote:%'
GROUP BY 1, 2
ORDER BY votes DESC, voter, voted_for;
