-- What each agent costs: calls, tokens and money of its model calls.
SELECT
attributes->>'massgen.agent_id' AS agent,
COUNT(*) AS calls,
SUM((attributes->'gen_ai.usage.input_tokens')::int) AS input_tokens,
SUM((attributes->'gen_ai.usage.output_tokens')::int) AS output_tokens,
SUM((attributes->'operation.cost')::float) AS cost_usd
FROM records
WHERE (span_name LIKE 'llm.%' OR attributes->>'gen_ai.operation.name' IN ('chat', 'generate_content', 'text_completion', 'embeddings'))
GROUP BY 1
ORDER BY cost_usd DESC NULLS LAST, agent;
