-- The agents of one trace side by side: rounds, total and average time. [TRACE_ID] stands for its id.
SELECT
attributes->>'massgen.agent_id' as agent,
COUNT(*) as rounds,
SUM(duration) as total_time,
AVG(duration) as avg_round_time
FROM records
WHERE trace_id = '[TRACE_ID]' AND span_name LIKE 'agent.%'
GROUP BY attributes->>'massgen.agent_id';
