"""Which of our tests is which case of Fn v1's own suites, and that no case is left out.

A-… are the tests of its API suite, which runs against a live server, U-… those of its parts; the names are Fn's. A
test names its cases in its docstring, this table says where they are; the two must agree.
"""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
API, E2E, UNIT, WORKER = "integration/api", "e2e", "unit/worker", "integration/worker"
APPS, ROUTES, CALLS, LOGS, INVOCATION = (
    f"{API}/test_fn_contract_{topic}.py::test_" for topic in ("apps", "routes", "calls", "logs", "invocation")
)
RUNS = f"{E2E}/test_fn_contract.py::test_"

CASES: dict[str, list[str]] = {
    "A-01 AppDeleteNotFound": [APPS + "a_deleted_app_is_gone_with_its_routes"],
    "A-02 AppGetNotFound": [APPS + "a_deleted_app_is_gone_with_its_routes"],
    "A-03 AppCreateNoConfig, WithConfig": [
        APPS + "a_created_app_is_shown_with_equal_times_in_milliseconds",
        APPS + "names_of_thirty_bytes_and_of_any_case_are_legal",
        APPS + "a_deleted_app_is_gone_with_its_routes",
    ],
    "A-04 AppInsect": [APPS + "a_created_app_is_shown_with_equal_times_in_milliseconds"],
    "A-05 AppPatch…Config": [APPS + "a_change_merges_config_and_moves_only_the_time_of_the_update"],
    "A-06 AppDuplicate": [APPS + "a_refused_app_is_answered_as_fn_does"],
    "A-07 CreateRouteEmptyType": [ROUTES + "a_refused_route_leaves_neither_route_nor_app"],
    "A-08 CanCreateRoute": [
        ROUTES + "a_created_route_gets_its_app_and_defaults",
        ROUTES + "a_created_route_keeps_what_it_was_given",
    ],
    "A-09 ListRoutes, InspectRoute": [
        ROUTES + "a_created_route_gets_its_app_and_defaults",
        ROUTES + "routes_are_listed_in_pages_and_by_image",
    ],
    "A-10 CanUpdateRouteType, RouteConfig": [
        ROUTES + "changes_are_validated_as_merged",
        ROUTES + "headers_and_config_are_deleted_by_what_is_empty",
        ROUTES + "a_change_may_send_back_what_was_read",
    ],
    "A-11 CantUpdateRoutePath": [ROUTES + "a_refused_change_changes_nothing"],
    "A-12 RouteDuplicate": [ROUTES + "empty_bodies_bad_apps_and_doubled_routes_are_refused"],
    "A-13 CanDeleteRoute, CantDeleteRoute": [ROUTES + "a_deleted_route_is_gone_at_once"],
    "A-14 DeployNewApp, DeployExistingApp": [ROUTES + "put_creates_app_and_route_then_merges"],
    "A-15 DeployUpdate": [ROUTES + "put_creates_app_and_route_then_merges"],
    "A-16 MulpileDeployExistingApp": [ROUTES + "put_creates_app_and_route_then_merges"],
    "A-17 CallsMissingApp": [CALLS + "what_is_no_call_of_the_app_is_not_found"],
    "A-18 CallsDummy": [CALLS + "what_is_no_call_of_the_app_is_not_found"],
    "A-19 CanCallfunction, CallOutputMatch": [RUNS + "a_function_answers_its_caller"],
    "A-20 CanCallAsync, GetExactCall": [
        CALLS + "a_finished_call_has_all_that_fn_shows_of_it",
        INVOCATION + "an_async_call_is_accepted_whatever_it_brings",
        INVOCATION + "a_call_is_answered_with_its_id_and_the_headers_of_the_route",
        RUNS + "the_first_log_that_is_found_is_whole",
    ],
    "A-22 CanCauseTimeout": [RUNS + "a_call_that_takes_too_long_says_so"],
    "A-23 MultiLog": [
        LOGS + "log_and_result_are_not_found_until_the_call_is_final",
        RUNS + "the_first_log_that_is_found_is_whole",
    ],
    "A-24 CanWriteLogs, OversizedLog": [
        LOGS + "a_call_that_ended_without_a_log_has_an_empty_one",
        RUNS + "an_oversized_log_is_cut_and_read",
    ],
    "A-26 FnJSONFormats": [INVOCATION + "what_is_not_there_is_not_found_and_stores_nothing"],
    "U-01 AppCreate": [
        APPS + "a_created_app_is_shown_with_equal_times_in_milliseconds",
        APPS + "a_refused_app_is_answered_as_fn_does",
    ],
    "U-02 AppDelete": [APPS + "a_deleted_app_is_gone_with_its_routes"],
    "U-03 AppList": [APPS + "apps_are_listed_in_pages_by_name_in_byte_order"],
    "U-04 AppGet": [APPS + "a_deleted_app_is_gone_with_its_routes"],
    "U-05 AppUpdate": [
        APPS + "a_change_merges_config_and_moves_only_the_time_of_the_update",
        APPS + "a_refused_change_is_answered_as_fn_does",
    ],
    "U-06 RouteCreate": [
        ROUTES + "a_created_route_gets_its_app_and_defaults",
        ROUTES + "a_refused_route_leaves_neither_route_nor_app",
        ROUTES + "empty_bodies_bad_apps_and_doubled_routes_are_refused",
    ],
    "U-07 RoutePut": [
        ROUTES + "put_creates_app_and_route_then_merges",
        ROUTES + "a_refused_put_of_a_new_route_leaves_nothing",
    ],
    "U-08 RouteDelete": [ROUTES + "a_deleted_route_is_gone_at_once"],
    "U-09 RouteList": [ROUTES + "routes_are_listed_in_pages_and_by_image"],
    "U-10 RouteGet": [
        ROUTES + "a_change_of_an_unknown_route_creates_nothing",
        ROUTES + "a_deleted_route_is_gone_at_once",
    ],
    "U-11 RouteUpdate": [
        ROUTES + "a_refused_change_changes_nothing",
        ROUTES + "changes_are_validated_as_merged",
        ROUTES + "a_change_of_an_unknown_route_creates_nothing",
    ],
    "U-12 CallGet": [CALLS + "what_is_no_call_of_the_app_is_not_found"],
    "U-13 CallList": [
        CALLS + "calls_are_listed_newest_first_in_pages",
        CALLS + "calls_are_filtered_by_path_and_time",
    ],
    "U-14 RouteRunnerGet, Post": [INVOCATION + "what_is_not_there_is_not_found_and_stores_nothing"],
    "U-15 RouteRunnerExecution": [
        INVOCATION + "every_method_is_a_call_and_both_spellings_name_the_root_route",
        INVOCATION + "a_call_is_answered_with_its_id_and_the_headers_of_the_route",
        f"{API}/test_sync.py::test_the_function_answers_with_its_status_headers_and_bytes",
        f"{API}/test_sync.py::test_a_failed_call_says_what_happened",
        RUNS + "an_app_from_its_first_route_to_its_end",
        RUNS + "an_image_that_is_not_there_is_named",
    ],
    "U-16 FailedEnqueue": [
        f"{API}/test_outages.py::test_without_postgres_nothing_is_accepted_and_it_comes_back"
    ],
    "U-17 RouteRunnerTimeout": [
        f"{API}/test_sync.py::test_a_call_that_no_worker_takes_is_refused_in_time_and_recorded",
        f"{E2E}/test_hot.py::test_an_answer_that_never_ends_is_a_timeout",
        RUNS + "a_call_that_takes_too_long_says_so",
        RUNS + "what_no_worker_has_memory_for_is_said_to_be_busy",
    ],
    "U-18 RouteRunnerAsyncExecution": [
        INVOCATION + "an_async_call_is_accepted_whatever_it_brings",
        RUNS + "an_async_function_gets_type_and_length_of_its_body",
    ],
    "U-19 FullStack": [RUNS + "an_app_from_its_first_route_to_its_end"],
    "U-20 RunnerNode, ApiNode": [f"{API}/test_access.py::test_an_api_may_serve_a_part_alone"],
    "U-30 call configuration from a request": [
        f"{API}/test_invoke.py::test_a_worker_gets_the_request_as_it_came",
        f"{UNIT}/test_default_format.py::test_values_of_one_header_are_joined_whatever_its_case",
        f"{UNIT}/test_default_format.py::test_host_and_names_that_fn_reserves_are_not_passed",
        RUNS + "a_cold_function_gets_its_call_as_environment",
    ],
    "U-31 call from a model": [
        f"{UNIT}/test_format_headers.py::test_every_variable_is_a_header_in_gos_spelling",
        f"{UNIT}/test_http_format.py::test_a_request_is_a_head_and_the_payload_itself",
    ],
    "U-32 async headers": [
        f"{API}/test_invoke.py::test_a_worker_gets_the_request_as_it_came",
        RUNS + "an_async_function_gets_type_and_length_of_its_body",
    ],
    "U-33 submit error": [f"{E2E}/test_calls.py::test_nonzero_exit_is_a_bad_exit"],
    "U-34 log writer": [LOGS + "a_log_comes_in_the_form_that_is_accepted"],
    "U-35 json protocol": [
        f"{UNIT}/test_json_format.py::test_a_request_tells_the_whole_call",
        f"{UNIT}/test_json_format.py::test_responses_that_are_read",
    ],
    "U-36 slot queue": [
        f"{WORKER}/test_pool.py::test_the_newest_idle_one_is_taken_first",
        f"{WORKER}/test_pool.py::test_a_container_that_exits_while_idle_is_dropped",
        f"{UNIT}/test_pool_rules.py::test_a_launch_is_wanted_for_each_call_that_nothing_is_on_its_way_for",
    ],
    "U-37 resource tracker": [
        f"{UNIT}/test_resources.py::test_grants_shrink_the_capacity_until_they_are_given_back"
    ],
    "U-38 stats": [
        f"{UNIT}/test_stats.py::test_many_samples_are_averaged_in_equal_windows",
        f"{UNIT}/test_stats.py::test_a_gap_leaves_its_windows_out",
    ],
    "U-39 image names": ["unit/models/test_image.py::test_references"],
    "U-40 docker driver": [f"{E2E}/test_calls.py::test_success_leaves_result_log_stats_and_times"],
}
# What is no case for us, and why.
LEFT_OUT = {
    "A-21": "CanGetAsyncState takes the first 200 for the end: an unfinished call is shown here",
    "A-25": "CallResponseHeadersMatch is vacuous: its request never leaves the client",
    "U-21": "HybridEndpoints: workers speak with Redis and Postgres, not with the api",
    "U-22": "Middleware: of Go code in Fn's own process",
}
ALL = [
    *(f"A-{number:02}" for number in range(1, 27)),
    *(f"U-{number:02}" for number in (*range(1, 23), *range(30, 41))),
]


def named_cases() -> set[tuple[str, str]]:
    """Each case that a test's docstring names, with the test."""
    found = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                test = f"{path.relative_to(TESTS)}::{node.name}"
                cases = re.findall(r"\b[AU]-\d\d\b", ast.get_docstring(node) or "")
                found |= {(case, test) for case in cases}
    return found


def test_every_case_is_tested_where_the_table_says() -> None:
    table = {(case.split()[0], test) for case, tests in CASES.items() for test in tests}
    assert table == named_cases()


def test_no_case_is_left_out_without_a_reason() -> None:
    assert sorted([*(case.split()[0] for case in CASES), *LEFT_OUT]) == ALL
