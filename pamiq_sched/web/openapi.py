"""The description of the HTTP interface, as OpenAPI 3.1 has it. Pure."""

from __future__ import annotations

from typing import Any

from pamiq_sched.web.access import COOKIE

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
COUNT: Json = {"type": "integer", "minimum": 0}
NUMBER: Json = {"type": "number"}
SECONDS: Json = {"type": "number", "description": "seconds"}
MOMENT: Json = {"type": "number", "description": "seconds since 1970"}
FLAG: Json = {"type": "boolean"}


def document(version: str, port: int) -> Json:
    """Return the document.

    Args:
        version: Of this library.
        port: Where it is served, by which the cookie is named.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pamiq-sched",
            "version": version,
            "description": (
                "Hands on a running system. Numbers that are not finite are null. Each answer carries the header "
                "X-Pamiq-Sched with the version."
            ),
        },
        "security": [{"bearer": []}, {"basic": []}, {"cookie": []}],
        "paths": {**_pages(), **_reads(), **_commands()},
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic", "description": "any user; the token is the password"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": f"{COOKIE}_{port}"},
            },
            "schemas": _schemas(),
            "responses": {
                "Unauthorized": _answer("The token is missing or wrong.", _ref("Error")),
                "Forbidden": _answer("The request comes from a page of another site.", _ref("Error")),
                "Misdirected": _answer("The request names another host.", _ref("Error")),
                "TooMany": {
                    **_answer("Too many requests.", _ref("Error")),
                    "headers": {"Retry-After": {"schema": COUNT, "description": "seconds"}},
                },
                "Failed": _answer("What the command failed with.", _ref("Failure")),
                "Invalid": _answer("A parameter cannot be; or the command failed with it.", _ref("Failure")),
                "TooLarge": _answer("The body has more than 64 KiB.", _ref("Error")),
                "NotJson": _answer("The body is not of the type application/json.", _ref("Error")),
            },
        },
    }


def _pages() -> Json:
    html = {"content": {"text/html": {"schema": TEXT}}}
    token = _parameter("token", "query", TEXT, "is kept in a cookie; the answer leads to the page without it")
    file = _parameter("file", "path", TEXT, "may hold slashes")
    return {
        "/": {
            "get": _operation(
                "page",
                "The dashboard, to be read without JavaScript too.",
                {"200": {"description": "The page.", **html}, "303": {"description": "The token is kept."}},
                [token],
            )
        },
        "/static/{file}": {
            "get": _operation(
                "static",
                "A script or style of the dashboard.",
                {
                    "200": {"description": "The file.", "content": {"text/javascript": {}, "text/css": {}}},
                    "404": _answer("There is none.", _ref("Error")),
                },
                [file],
            )
        },
    }


def _reads() -> Json:
    names = _parameter("names", "query", TEXT, "which series, with commas between them; all if not given")
    since = _parameter("since", "query", MOMENT, "points from this moment on")
    number = _parameter("id", "path", TEXT, "of the command")
    starting = _answer("The system has not told its state yet.", _ref("Error"))
    unknown = _answer("There is no such command, or it is too long ago.", _ref("Error"))
    full = _answer("Too many streams are open.", _ref("Error"))
    stream = {
        "description": (
            "Events: status (Status), points (a list of Point), event (Event), ended. A slow reader gets points "
            "merged, and always the latest status and the end. A comment is sent every 10 s."
        ),
        "content": {"text/event-stream": {"schema": TEXT}},
    }
    return {
        "/api/status": {
            "get": _operation(
                "status", "How the system is.", {"200": _answer("The status.", _ref("Status")), "503": starting}
            )
        },
        "/api/history": {
            "get": _operation(
                "history",
                "What happened so far. A series has at most 1,000 points: older ones are merged, never dropped.",
                {"200": _answer("The history.", _ref("History")), "422": _response("Invalid")},
                [names, since],
            )
        },
        "/api/events": {"get": _operation("events", "What happens from now on.", {"200": stream, "503": full})},
        "/api/commands": {
            "get": _operation(
                "commands",
                "What the latest commands came to, the oldest first.",
                {"200": _answer("At most 100 commands.", {"type": "array", "items": _ref("Command")})},
            )
        },
        "/api/commands/{id}": {
            "get": _operation(
                "command",
                "What a command came to.",
                {"200": _answer("The command.", _ref("Command")), "404": unknown},
                [number],
            )
        },
        "/api/openapi.json": {
            "get": _operation("openapi", "This document.", {"200": _answer("The document.", {"type": "object"})})
        },
    }


def _commands() -> Json:
    optional: Json = {"optimizer": {"type": ["string", "null"]}, "group": {"type": ["integer", "null"]}}
    hyperparameter = _object(
        {"trainer": TEXT, "name": TEXT, "value": {"type": ["number", "boolean"]}, **optional},
        required=["trainer", "name", "value"],
    )
    horizon = _object({"trainer": TEXT, "schedule": TEXT, "horizon": NUMBER})
    return {
        "/api/pause": {"post": _command("pause", "Pause the system.")},
        "/api/resume": {"post": _command("resume", "Let it go on.")},
        "/api/save-state": {"post": _command("save_state", "Save its state; the value is the path.")},
        "/api/shutdown": {
            "post": _command(
                "shutdown",
                "End the system. Always accepted; with a wait the answer comes when it has ended.",
                default_wait=0,
            )
        },
        "/api/hyperparameters": {
            "post": _command("set_hyperparameter", "Change a hyperparameter that has no schedule.", hyperparameter)
        },
        "/api/horizon": {
            "post": _command(
                "set_horizon", "Move the horizon of a schedule, without a jump in its value.", horizon
            )
        },
    }


def _command(name: str, summary: str, body: Json | None = None, default_wait: float = 60) -> Json:
    bounds: Json = {"type": "number", "minimum": 0, "maximum": 600, "default": default_wait}
    wait = _parameter("wait", "query", bounds, "seconds to wait for the result")
    responses = {
        "200": _answer("Done, or a shutdown that was accepted.", _ref("Outcome")),
        "202": _answer("Not over yet; ask for the command by its id.", _ref("Outcome")),
        "409": _response("Failed"),
        "413": _response("TooLarge"),
        "415": _response("NotJson"),
        "422": _response("Invalid"),
        "500": _response("Failed"),
        "503": _answer("Too many commands are unfinished.", _ref("Error")),
        "504": _response("Failed"),
    }
    if body is not None:
        responses["400"] = _answer("The body is no JSON.", _ref("Failure"))
    operation = _operation(name, summary, responses, [wait])
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


def _schemas() -> Json:
    durations = _object({"count": COUNT, "p50": SECONDS, "p99": SECONDS, "max": SECONDS, "longest": SECONDS})
    states = ["active", "pausing", "paused", "resuming", "saving", "shutting down", "offline"]
    hyperparameter = _object(
        {
            "optimizer": TEXT,
            "group": COUNT,
            "name": TEXT,
            "value": {"type": ["number", "boolean", "null"]},
            "schedule": {"type": ["string", "null"]},
        }
    )
    schedule = _object(
        {
            "name": TEXT,
            "values": {"type": "array", "items": _or_null(NUMBER)},
            "t": NUMBER,
            "by": TEXT,
            "horizon": _or_null(NUMBER),
        }
    )
    trainer = _object(
        {
            "sessions": COUNT,
            "is_in_session": FLAG,
            "steps": COUNT,
            "replay_ratio": _or_null(NUMBER),
            "cycle_times": _ref("Durations"),
            "sync_times": _ref("Durations"),
            "hyperparameters": {"type": "array", "items": hyperparameter},
            "schedules": {"type": "array", "items": schedule},
        }
    )
    buffer = _object({"items": COUNT, "max_size": _or_null(COUNT), "dropped": COUNT})
    model = _object({"version": COUNT, "versions_behind": COUNT, "seconds_behind": SECONDS})
    number = _object({"value": _or_null(NUMBER), "step": COUNT, "time": MOMENT})
    value = _or_null(NUMBER)
    point: list[Json] = [TEXT, MOMENT, COUNT, value, value, value, COUNT]
    column: Json = {"type": "array", "items": _or_null(NUMBER)}
    series = _object(dict.fromkeys(("time", "step", "value", "least", "greatest", "count"), column))
    command_state = {"enum": ["pending", "accepted", "done", "failed"]}
    failure = {"error": TEXT, "type": TEXT}
    told = {"id": TEXT, "command": TEXT, "state": command_state}
    events = {"type": "array", "items": _ref("Event")}
    return {
        "Durations": durations,
        "Status": _object(
            {
                "status": {
                    "description": "the state; a number for pamiq-core's client",
                    "type": ["string", "integer"],
                },
                "state": {"enum": states},
                "uptime": SECONDS,
                "started_at": MOMENT,
                "pid": COUNT,
                "program": TEXT,
                "time_scale": NUMBER,
                "steps": COUNT,
                "steps_per_second": _or_null(NUMBER),
                "interval": _or_null(SECONDS),
                "deadline_misses": COUNT,
                "step_times": _ref("Durations"),
                "lateness": _ref("Durations"),
                "trainers": _by_name(trainer),
                "buffers": _by_name(buffer),
                "models": _by_name(model),
                "pauses": COUNT,
                "last_saved": _or_null(TEXT),
                "last_saved_at": _or_null(MOMENT),
                "is_saving": FLAG,
                "stuck": _by_name({"type": "string", "description": "the stack of the thread"}),
                "not_restored": {"type": "array", "items": TEXT},
                "numbers": _by_name(number),
            }
        ),
        "Point": {
            "description": "name, time, step, value, least, greatest, count",
            "type": "array",
            "prefixItems": point,
            "minItems": 7,
            "maxItems": 7,
        },
        "Event": _object({"kind": TEXT, "time": MOMENT, "text": TEXT, "details": {"type": "object"}}),
        "History": _object(
            {
                "now": MOMENT,
                "series": _by_name(series),
                "pauses": {"type": "array", "items": {"type": "array", "items": _or_null(MOMENT)}},
                "saves": {"type": "array", "items": _object({"time": MOMENT, "path": _or_null(TEXT)})},
                "log": events,
                "errors": events,
                "changes": events,
            }
        ),
        "Command": _object({**told, "value": {}, "error": _or_null(TEXT), "type": _or_null(TEXT), "time": MOMENT}),
        "Outcome": _object(
            {"result": {"enum": ["ok", "pending"]}, **told, "value": {}}, required=["result", *told]
        ),
        "Error": _object({"error": TEXT}),
        "Failure": _object({**failure, **told}, required=[*failure]),
    }


def _operation(name: str, summary: str, responses: Json, parameters: list[Json] | None = None) -> Json:
    refusals = {
        "401": _response("Unauthorized"),
        "403": _response("Forbidden"),
        "421": _response("Misdirected"),
        "429": _response("TooMany"),
    }
    operation: Json = {"operationId": name, "summary": summary, "responses": {**responses, **refusals}}
    if parameters:
        operation["parameters"] = parameters
    return operation


def _parameter(name: str, place: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": place, "schema": schema, "description": description, "required": place == "path"}


def _object(properties: Json, required: list[str] | None = None) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }


def _by_name(schema: Json) -> Json:
    return {"type": "object", "additionalProperties": schema}


def _or_null(schema: Json) -> Json:
    return {**schema, "type": [schema["type"], "null"]}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _response(name: str) -> Json:
    return {"$ref": f"#/components/responses/{name}"}


def _answer(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
