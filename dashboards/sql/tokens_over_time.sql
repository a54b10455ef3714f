-- Tokens that models took, read from their cache and gave over time, for the agents that $agent is a pattern of; $resolution is the width of a step.
SELECT
time_bucket($resolution, start_timestamp) AS x,
SUM((attributes->'gen_ai.usage.input_tokens')::int) AS input_tokens,
SUM((attributes->'gen_ai.usage.cache_read.input_tokens')::int) AS cached_input_tokens,
SUM((attributes->'gen_ai.usage.output_tokens')::int) AS output_tokens
FROM records
WHERE (span_name LIKE 'llm.%' OR attributes->>'gen_ai.operation.name' IN ('chat', 'generate_content', 'text_completion', 'embeddings'))
AND COALESCE(attributes->>'massgen.agent_id', '') LIKE $agent
GROUP BY 1
ORDER BY 1;
