"""The server's own document, and validation of what it answers by it."""

import functools
import json
import urllib.error
import urllib.request

import jsonschema


class Document:
    def __init__(self, url):
        self.url = url
        with urllib.request.urlopen(url + "/openapi.json", timeout=30) as answer:
            self.json = json.load(answer)

    def schema(self, name):
        """A component that can be used alone: references go to the document's own components."""
        return {"$ref": f"#/components/schemas/{name}", "components": self.json["components"]}

    @functools.cache
    def validator(self, name):
        return jsonschema.Draft202012Validator(self.schema(name))

    def check(self, name, value):
        self.validator(name).validate(value)
        return value

    def property_validator(self, body, field):
        schema = dict(self.json["components"]["schemas"][body]["properties"][field])
        schema["components"] = self.json["components"]
        return jsonschema.Draft202012Validator(schema)

    def response_name(self, path, stream=False):
        media = "text/event-stream" if stream else "application/json"
        operation = self.json["paths"][path]["post"]
        return operation["responses"]["200"]["content"][media]["schema"]["$ref"].rsplit("/", 1)[1]

    def post(self, path, body):
        """Status, headers and JSON of an answer; all of it as the document promises."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                stream = answer.headers["Content-Type"] == "text/event-stream"
                if stream:
                    return 200, answer.headers, [self.check(self.response_name(path, True), c) for c in events(answer)]
                return 200, answer.headers, self.check(self.response_name(path), json.load(answer))
        except urllib.error.HTTPError as error:
            return error.code, error.headers, self.check("Error", json.load(error))


def events(answer):
    """The chunks of a stream, which must end in [DONE]."""
    lines = [line for line in answer.read().decode().split("\n") if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line[6:]) for line in lines[:-1]]
