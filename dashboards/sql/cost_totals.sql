-- What model calls came to in all: calls, tokens, money, and calls whose cost nobody knows, of the agents that $agent is a pattern of.
SELECT
COUNT(*) AS calls,
SUM((attributes->'gen_ai.usage.input_tokens')::int) AS input_tokens,
SUM((attributes->'gen_ai.usage.output_tokens')::int) AS output_tokens,
SUM((attributes->'operation.cost')::float) AS cost_usd,
COUNT(*) FILTER (WHERE attributes->>'operation.cost' IS NULL) AS calls_without_cost
FROM records
WHERE (span_name LIKE 'llm.%' OR attributes->>'gen_ai.operation.name' IN ('chat', 'generate_content', 'text_completion', 'embeddings'))
AND COALESCE(attributes->>'massgen.agent_id', '') LIKE $agent;
