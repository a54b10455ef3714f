-- The agent that every record belongs to, where it belongs to one.
SELECT attributes->>'massgen.agent_id' as agent FROM records;
