-- Tokens that each model took and gave, minute by minute.
SELECT
time_bucket('1 minute', start_timestamp) AS minute,
attributes->>'gen_ai.request.model' AS model,
SUM((attributes->'gen_ai.usage.input_tokens')::int) AS input_tokens,
SUM((attributes->'gen_ai.usage.output_tokens')::int) AS output_tokens
FROM records
WHERE (span_name LIKE 'llm.%' OR attributes->>'gen_ai.operation.name' IN ('chat', 'generate_content', 'text_completion', 'embeddings'))
GROUP BY 1, 2
ORDER BY 1, 2;
