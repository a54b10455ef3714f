-- How much of what is sent to each model comes from the provider's cache, in tokens; calls that say nothing of it are left out.
SELECT
attributes->>'gen_ai.request.model' AS model,
COUNT(*) AS calls,
SUM((attributes->'gen_ai.usage.input_tokens')::int) AS input_tokens,
SUM((attributes->'gen_ai.usage.cache_read.input_tokens')::int) AS cached_tokens,
SUM((attributes->'gen_ai.usage.cache_read.input_tokens')::int)::float
/ NULLIF(SUM((attributes->'gen_ai.usage.input_tokens')::int), 0) AS hit_rate
FROM records
WHERE (span_name LIKE 'llm.%' OR attributes->>'gen_ai.operation.name' IN ('chat', 'generate_content', 'text_completion', 'embeddings')) AND attributes->>'gen_ai.usage.cache_read.input_tokens' IS NOT NULL
GROUP BY 1
ORDER BY hit_rate DESC, model;
