//! The answers of batch calls.

use std::{iter, vec};

use tracing::error;

use crate::ports::{PortError, PortResult};

/// The answers to a batch call: exactly one for each question, in the order of the questions.
#[derive(Debug)]
pub(super) struct Answers<Q, T> {
    asked: Vec<Q>,
    answers: Vec<PortResult<T>>,
}

impl<Q, T> Answers<Q, T> {
    /// Checks the number of answers. Where it is wrong, it is unknown which answer is missing: every question is
    /// then answered with a retryable failure.
    pub(super) fn checked(asked: Vec<Q>, answers: Vec<PortResult<T>>) -> Self {
        if asked.len() == answers.len() {
            return Self { asked, answers };
        }
        error!(
            asked = asked.len(),
            answered = answers.len(),
            "a batch call's answers do not match its questions"
        );
        let unanswered = || Err(PortError::retryable("port", "answers do not match questions"));
        let answers = asked.iter().map(|_| unanswered()).collect();
        Self { asked, answers }
    }
}

impl<Q, T> IntoIterator for Answers<Q, T> {
    type Item = (Q, PortResult<T>);
    type IntoIter = iter::Zip<vec::IntoIter<Q>, vec::IntoIter<PortResult<T>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.asked.into_iter().zip(self.answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_has_its_own_answer_or_all_of_them_fail() {
        let cases = [(3, true), (2, false), (4, false), (0, false)];
        for (answered, is_whole) in cases {
            let answers = (0..answered).map(Ok).collect();
            let checked: Vec<(char, PortResult<i32>)> =
                Answers::checked(vec!['a', 'b', 'c'], answers).into_iter().collect();
            assert_eq!(checked.iter().map(|(asked, _)| *asked).collect::<String>(), "abc");
            let is_failure = |answer: &PortResult<i32>| matches!(answer, Err(PortError::Retryable { .. }));
            match is_whole {
                true => assert_eq!(
                    checked.into_iter().map(|(_, it)| it).collect::<Vec<_>>(),
                    [Ok(0), Ok(1), Ok(2)]
                ),
                false => assert!(checked.iter().all(|(_, answer)| is_failure(answer)), "{answered}"),
            }
        }
    }
}
