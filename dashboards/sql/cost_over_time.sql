-- What each model costs over time, in USD, for the agents that $agent is a pattern of; $resolution is the width of a step.
SELECT
time_bucket($resolution, start_timestamp) AS x,
COALESCE(attributes->>'gen_ai.request.model', 'not said') AS model,
SUM((attributes->'operation.cost')::float) AS cost_usd
FROM records
WHERE (span_name LIKE 'llm.%' OR attributes->>'gen_ai.operation.name' IN ('chat', 'generate_content', 'text_completion', 'embeddings'))
AND COALESCE(attributes->>'massgen.agent_id', '') LIKE $agent
GROUP BY 1, 2
ORDER BY 1, 2;
