-- What coding agents used by their own OpenTelemetry (Claude Code, Codex, Gemini CLI, OpenCode): each request to a model once, with what was read from its cache.
SELECT
service_name,
attributes->>'gen_ai.request.model' AS model,
COUNT(*) AS calls,
SUM(COALESCE((attributes->'gen_ai.usage.input_tokens')::int, (attributes->'input_tokens')::int
    + COALESCE((attributes->'cache_read_tokens')::int, 0) + COALESCE((attributes->'cache_creation_tokens')::int, 0))) AS input_tokens,
SUM(COALESCE((attributes->'gen_ai.usage.cache_read.input_tokens')::int, (attributes->'ai.usage.cachedInputTokens')::int,
    (attributes->'cache_read_tokens')::int)) AS cached_tokens,
SUM(COALESCE((attributes->'gen_ai.usage.output_tokens')::int, (attributes->'output_tokens')::int)) AS output_tokens
FROM records
WHERE kind = 'span' AND (span_name IN ('claude_code.llm_request', 'llm_call') OR span_name LIKE 'ai.%.do%'
    OR span_name = 'handle_responses' AND attributes ? 'gen_ai.usage.output_tokens')
GROUP BY 1, 2
ORDER BY input_tokens DESC NULLS LAST, 1, 2;
