-- What restarts cost: of each agent, the rounds that another agent's answer made worthless, with their time, tokens and money.
SELECT
attributes->>'massgen.agent_id' AS agent,
COUNT(*) AS rounds,
COUNT(*) FILTER (WHERE attributes->>'massgen.outcome' = 'restarted') AS wasted_rounds,
SUM(duration) FILTER (WHERE attributes->>'massgen.outcome' = 'restarted') AS wasted_seconds,
SUM((attributes->'massgen.usage.input')::int) FILTER (WHERE attributes->>'massgen.outcome' = 'restarted') AS wasted_input_tokens,
SUM((attributes->'massgen.usage.output')::int) FILTER (WHERE attributes->>'massgen.outcome' = 'restarted') AS wasted_output_tokens,
SUM((attributes->'massgen.usage.cost')::float) FILTER (WHERE attributes->>'massgen.outcome' = 'restarted') AS wasted_cost_usd
FROM records
WHERE span_name LIKE 'agent.%'
GROUP BY 1
ORDER BY 4 DESC NULLS LAST, 1;
