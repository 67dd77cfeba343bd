"""Each line of the README's tables names what happens with this project: here stands which test holds it to that."""

from __future__ import annotations

import re

import pytest

from tests.support.kept import ROOT

CADENCE, PHOTOMETRY = 'tests/cadence', 'tests/photometry'
DEFECTS = 'test_defects_of_the_toolkit.py'
#: First cell of a line -> the tests.
PROVEN: dict[str, tuple[str, ...]] = {
    'two crons run at once': (
        f'{CADENCE}/{DEFECTS}::test_c9_two_crons_at_once_book_once',
        'tests/processes/cadence/test_many_at_once.py::test_a_few_processes_at_once_book_each_cadence_once',
    ),
    'the reply of the facility is lost': (
        'tests/processes/cadence/test_lost_replies.py::test_a_booking_whose_reply_was_lost_is_found_at_once_and_recorded',
        f'{CADENCE}/facilities/test_portals.py::test_a_lost_reply_is_found_again_at_the_portal',
    ),
    'the process is killed in between': (
        'tests/processes/cadence/test_killed.py::test_a_process_killed_at_any_point_books_nothing_twice_and_loses_nothing',
    ),
    'a failed observation, Retry strategy': (
        f'{CADENCE}/{DEFECTS}::test_c2_a_failed_observation_is_retried_once_however_often_cron_runs',
    ),
    'an observation at LCO or OCS succeeds': (f'{CADENCE}/{DEFECTS}::test_c1_a_cadence_goes_on_after_a_successful_observation',),
    'TIME_ZONE is not UTC': (
        f'{CADENCE}/{DEFECTS}::test_c6_the_window_is_right_wherever_the_server_stands',
        f'{CADENCE}/pages/test_starting.py::test_times_are_utc_in_any_time_zone',
    ),
    'somebody cancels an observation': (
        f'{CADENCE}/{DEFECTS}::test_c5_an_observation_that_i_cancelled_is_not_requested_again',
        f'{CADENCE}/strategies/test_resume.py::test_a_cancellation_ends_the_cadence_and_says_how_to_go_on',
    ),
    'somebody opens the address that cancels an observation': (
        f'{CADENCE}/test_doors.py::test_looking_at_the_cancel_address_cancels_nothing_and_a_confirmed_one_does',
        f'{CADENCE}/test_doors.py::test_a_stranger_cancels_and_changes_nobodys_observation',
    ),
    'a facility hangs': (f'{CADENCE}/{DEFECTS}::test_c14_a_portal_that_hangs_holds_up_its_own_cadences_only',),
    'something goes wrong': (
        f'{CADENCE}/{DEFECTS}::test_c13_a_cadence_that_fails_is_said_on_the_terminal_and_to_cron',
        f'{CADENCE}/test_command.py::test_a_cadence_that_newly_needs_attention_is_exit_status_one_once',
        f'{CADENCE}/engine/test_mail.py::test_any_reason_makes_a_mail_with_a_subject_of_one_line',
    ),
    '"what would it do?"': (
        f'{CADENCE}/test_command.py::test_a_dry_run_asks_for_states_and_does_nothing_else',
        f'{CADENCE}/test_command.py::test_a_dry_run_with_validate_says_what_the_form_says_and_sends_nothing',
    ),
    'ATLAS has no data': (f'{PHOTOMETRY}/{DEFECTS}::test_f1_no_data_ends_after_a_few_looks',),
    'ATLAS takes an hour': (
        f'{PHOTOMETRY}/{DEFECTS}::test_f20_without_workers_the_web_request_ends_in_time_and_the_command_carries_on',
        f'{PHOTOMETRY}/{DEFECTS}::test_f11_a_hanging_service_costs_one_call_and_not_the_worker',
    ),
    'a connection breaks, a worker is killed': (
        f'{PHOTOMETRY}/{DEFECTS}::test_f12_a_broken_connection_loses_no_job',
        'tests/processes/photometry/test_killed_worker.py::test_a_few_queries_end_as_they_should_although_the_worker_is_killed',
    ),
    'an exposure was reduced again': (f'{PHOTOMETRY}/{DEFECTS}::test_f4_a_re_reduced_exposure_stays_one_point',),
    'flux, chi/N, error flags, negative flux': (
        f'{PHOTOMETRY}/{DEFECTS}::test_f6_flux_and_quality_are_kept_also_where_the_flux_is_negative',
    ),
    'difference and reduced photometry': (
        f'{PHOTOMETRY}/{DEFECTS}::test_f5_reduced_and_difference_photometry_can_be_told_apart',
        f'{PHOTOMETRY}/ingest/test_ingest.py::test_difference_and_reduced_photometry_stand_side_by_side',
    ),
    'ZTF': (
        f'{PHOTOMETRY}/services/test_ztf.py::test_a_batch_is_accepted_by_its_status',
        f'{PHOTOMETRY}/queries/test_all_services.py::test_a_lost_reply_of_ztf_is_looked_up',
    ),
    'Pan-STARRS': (
        f'{PHOTOMETRY}/services/test_panstarrs.py::test_the_nearest_object_is_taken_and_its_number_stays_exact',
        f'{PHOTOMETRY}/services/test_panstarrs.py::test_rows_of_another_object_are_not_taken',
    ),
    'a hundred targets': (
        f'{PHOTOMETRY}/queries/test_atlas.py::test_a_hundred_targets_go_out_in_one_request_and_each_gets_its_own_points',
    ),
    'a moving target': (f'{PHOTOMETRY}/{DEFECTS}::test_f16_a_moving_target_is_asked_by_its_name',),
    "somebody else's private target": (
        f'{PHOTOMETRY}/test_host.py::test_somebody_elses_private_target_is_invisible_and_untouchable',
        'tests/permissions/test_every_way_round.py::test_strangers_see_and_change_nothing_by_any_way_round',
    ),
    "a key in a reply's address": (
        f'{PHOTOMETRY}/queries/test_lost_and_wrong_replies.py::test_a_result_at_a_foreign_address_is_never_fetched_and_no_token_goes_there',
        f'{PHOTOMETRY}/queries/test_lost_and_wrong_replies.py::test_a_redirect_to_elsewhere_is_not_followed',
    ),
    'who asked, and what became of it': (f'{PHOTOMETRY}/pages/test_queries.py::test_the_page_of_a_query_says_everything_in_words',),
}


def lines_of_the_tables() -> set[str]:
    """The first cells."""
    readme = (ROOT / 'README.md').read_text()
    tables = re.findall(r'^\| what happens \|.*\n\|[ -|]*\n((?:\|.*\n)+)', readme, flags=re.MULTILINE)
    return {line.strip('| ').partition(' | ')[0] for table in tables for line in table.splitlines()}


def test_each_line_of_the_readmes_tables_is_proven() -> None:
    assert lines_of_the_tables() == set(PROVEN)


@pytest.mark.parametrize('line', PROVEN)
def test_the_proof_of_a_line_is_there(line: str) -> None:
    for proof in PROVEN[line]:
        path, _, name = proof.partition('::')
        assert re.search(rf'^def {name}\(', (ROOT / path).read_text(), flags=re.MULTILINE), proof
