-- What each model costs: calls, tokens, money, and the calls whose price nobody knows.
SELECT
attributes->>'gen_ai.provider.name' AS provider,
attributes->>'gen_ai.request.model' AS model,
COUNT(*) AS calls,
SUM((attributes->'gen_ai.usage.input_tokens')::int) AS input_tokens,
SUM((attributes->'gen_ai.usage.output_tokens')::int) AS output_tokens,
SUM((attributes->'operation.cost')::float) AS cost_usd,
COUNT(*) FILTER (WHERE attributes->>'operation.cost' IS NULL) AS calls_without_cost
FROM records
WHERE (span_name LIKE 'llm.%' OR attributes->>'gen_ai.operation.name' IN ('chat', 'generate_content', 'text_completion', 'embeddings'))
GROUP BY 1, 2
ORDER BY cost_usd DESC NULLS LAST, model;
