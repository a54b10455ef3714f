# mypy: ignore-errors
# It runs in an environment that has the library.

import os

from google import genai
from google.genai import types

client = genai.Client(http_options=types.HttpOptions(base_url=os.environ["ENDPOINT"], api_version="v1beta"))
for question in ("Six times seven?", "And eight?"):
    for _ in client.models.generate_content_stream(model="gemini-2.5-flash", contents=question):
        pass
