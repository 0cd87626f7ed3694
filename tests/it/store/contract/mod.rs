//! The cases of the contract, a file a subject. Each takes an empty ledger and knows no database.

#![expect(clippy::needless_pass_by_value, reason = "all cases are called alike, with a ledger of their own")]

pub(crate) mod accounts;
pub(crate) mod batch_requests;
pub(crate) mod batches;
pub(crate) mod durability;
pub(crate) mod entries;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod holds;
pub(crate) mod keys;
pub(crate) mod model;
pub(crate) mod order;
pub(crate) mod replays;
pub(crate) mod reversals;
pub(crate) mod search;
pub(crate) mod statements;
pub(crate) mod transfers;
pub(crate) mod users;
pub(crate) mod views;

/// Makes a test of every case, on ledgers that are kept where the given [`Fixture`] says.
///
/// [`Fixture`]: super::ledger::Fixture
macro_rules! contract_on {
    ($fixture:expr) => {
        $crate::store::contract::contract_on! { @tests $fixture;
            users:
                a_new_ledger_has_an_operator_and_nothing_else
                a_user_is_kept_as_registered
                names_are_unique_whatever_their_case
                credentials_are_found_whatever_the_names_case
                an_unknown_user_is_not_found;
            accounts:
                an_account_opens_empty_and_is_kept_as_opened
                an_owner_is_named_by_id_or_by_name
                lists_run_in_order_of_id
                a_list_read_in_stretches_has_each_account_once
                units_of_the_ledgers_own_are_kept;
            transfers:
                a_transfer_moves_money
                entries_carry_the_running_balance
                what_a_caller_says_of_a_transfer_is_kept
                refusals_move_nothing_and_take_no_number
                only_owner_and_operator_debit_an_account
                a_floor_is_reached_and_not_passed
                amounts_and_balances_reach_the_ends_of_their_range;
            holds:
                a_hold_reserves_until_it_ends
                a_hold_is_over_before_it_is_swept
                a_sweep_takes_the_earliest_first_up_to_its_limit
                a_sweep_may_share_its_batch
                a_hold_is_made_and_ended_in_one_batch
                a_transfer_that_is_not_there_leaves_the_key_free
                only_payers_and_operators_end_a_hold
                holds_reach_the_ends_of_the_range
                what_is_due_goes_by_the_ledgers_time
                a_hold_and_a_payment_are_two_uses_of_a_key;
            reversals:
                a_reversal_is_linked_both_ways
                a_transfer_is_reversed_once
                payees_and_operators_reverse;
            batch_requests:
                items_are_done_one_by_one
                an_atomic_request_is_done_all_or_not_at_all
                an_atomic_request_that_is_refused_undoes_itself_alone
                a_request_of_which_nothing_is_done_is_told_again
                a_request_may_be_larger_than_a_batch_of_commands
                the_record_of_a_large_batch_is_audited_once;
            replays:
                every_command_is_told_the_same_after_a_restart
                a_second_use_in_the_same_batch_is_a_replay_of_any_command
                one_key_serves_one_action
                keys_of_any_command_are_free_after_a_day;
            batches:
                a_batch_may_depend_on_itself
                what_comes_later_in_a_batch_is_not_there_yet
                a_keys_second_use_in_a_batch_is_a_replay
                an_earlier_debit_of_the_batch_counts
                an_account_changes_often_in_a_batch
                an_empty_batch_changes_nothing
                a_batch_may_be_as_large_as_the_lane_makes_it
                a_batch_that_fails_leaves_nothing;
            keys:
                every_decision_is_replayed_after_a_restart
                a_key_is_its_users_own
                keys_differ_by_every_character
                a_key_used_for_something_else_is_refused
                a_key_is_free_again_after_a_day
                a_key_used_when_the_clock_was_ahead_lives_on
                a_dead_key_does_not_live_again_when_the_clock_steps_back
                dead_keys_are_dropped_by_later_batches
                a_damaged_record_fails_its_own_command_alone;
            order:
                time_never_falls_when_the_clock_does
                numbers_are_gapless_and_hashes_chained
                heads_of_the_past_stay_in_the_chain
                two_writers_share_one_order;
            entries:
                a_history_is_read_newest_first_in_stretches
                a_history_is_cut_at_exact_times
                a_query_may_ask_for_anything
                a_query_may_begin_behind_any_number
                the_last_entry_until_a_time_is_found;
            events:
                those_who_catch_up_have_few_pages_in_a_turn_together
                an_end_that_cannot_be_read_is_not_told_as_the_end_of_the_log
                the_log_is_read_in_pages_from_any_place
                transfers_and_owners_are_found_for_many_at_once;
            search:
                every_search_finds_what_a_look_at_all_finds
                a_search_for_what_many_have_goes_on_where_it_stopped
                transfers_are_cut_at_exact_times;
            statements:
                a_span_is_cut_at_exact_times
                lines_say_what_their_transfers_say
                a_span_stays_as_it_was_read;
            views:
                a_reader_on_another_thread_sees_whole_batches
                writer_and_reader_see_one_log
                an_audit_is_one_view_while_the_ledger_goes_on;
            durability:
                what_was_committed_outlives_a_writer_that_was_not_closed
                opening_again_changes_nothing;
            files:
                every_kind_of_event_moves_to_another_place
                users_names_and_keys_move_along
                an_empty_ledger_moves
                a_file_that_was_changed_is_refused_and_leaves_nothing
                a_file_made_with_care_is_audited_all_the_same
                a_place_with_something_in_it_is_refused;
            model:
                batches_decide_as_single_commands_do;
        }
    };
    (@tests $fixture:expr; $($subject:ident: $($case:ident)+;)+) => {
        $($(
            #[test]
            fn $case() {
                let fixture = Box::new($fixture);
                $crate::store::contract::$subject::$case($crate::store::ledger::Ledger::new(fixture));
            }
        )+)+
    };
}
pub(crate) use contract_on;
