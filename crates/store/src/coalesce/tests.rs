use super::*;

struct Asked(u8);

impl Coalesced for Asked {
    type Outcome = u8;

    const OPERATION: &'static str = "ask";

    const WRITES: bool = true;

    fn key(&self) -> [u8; 16] {
        [self.0; 16]
    }

    async fn execute(_: &Database, batch: &[Self]) -> Result<Vec<u8>, Error> {
        Ok(batch.iter().map(|asked| asked.0).collect())
    }
}

type Waiting = (VecDeque<Call<Asked>>, Vec<oneshot::Receiver<Result<u8, Error>>>);

/// Calls, and the callers that wait for them.
fn waiting(keys: &[u8]) -> Waiting {
    let call = |key: &u8| {
        let (answer, answered) = oneshot::channel();
        (Call { asked: Asked(*key), answers: vec![answer] }, answered)
    };
    keys.iter().map(call).unzip()
}

fn keys<'a>(calls: impl IntoIterator<Item = &'a Call<Asked>>) -> Vec<u8> {
    calls.into_iter().map(|call| call.asked.0).collect()
}

#[test]
fn a_batch_has_each_row_once_in_order_and_a_size_for_which_there_is_a_statement() {
    let cases: [(&[u8], &[u8], &[u8]); 7] = [
        (&[], &[], &[]),
        (&[7], &[7], &[]),
        (&[3, 1], &[1, 3], &[]),
        (&[3, 1, 2], &[1, 3], &[2]),
        (&[5, 5, 5], &[5], &[5, 5]),
        (&[5, 5, 4, 4], &[4, 5], &[5, 4]),
        (&[9, 8, 9, 7, 6, 5], &[6, 7, 8, 9], &[5, 9]),
    ];
    for (asked, batch, left) in cases {
        let (mut line, _callers) = waiting(asked);
        assert_eq!(keys(&next_batch(&mut line)), batch, "{asked:?}");
        assert_eq!(keys(&line), left, "{asked:?}");
    }
    let many: Vec<u8> = (0..100).collect();
    let (mut line, _callers) = waiting(&many);
    for (size, left) in [(32, 68), (32, 36), (32, 4), (4, 0), (0, 0)] {
        assert_eq!((next_batch(&mut line).len(), line.len()), (size, left));
    }
}

#[test]
fn a_call_whose_caller_went_away_is_not_sent() {
    let (mut line, mut callers) = waiting(&[1, 2, 3, 4]);
    callers.remove(1);
    callers.remove(1);
    assert_eq!(keys(&next_batch(&mut line)), [1, 4]);
    assert!(line.is_empty());
}

/// A look-up of a row and of something beside it.
struct Looked(u8, u8);

impl Coalesced for Looked {
    const OPERATION: &'static str = "look up";

    type Outcome = u8;

    const WRITES: bool = false;

    fn key(&self) -> [u8; 16] {
        [self.0; 16]
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }

    async fn execute(_: &Database, batch: &[Self]) -> Result<Vec<u8>, Error> {
        Ok(batch.iter().map(|looked| looked.0).collect())
    }
}

#[test]
fn look_ups_of_the_same_go_as_one_whatever_their_number() {
    let mut callers = Vec::new();
    let mut call = |looked| {
        let (answer, answered) = oneshot::channel();
        callers.push(answered);
        Call { asked: looked, answers: vec![answer] }
    };
    let hot = (0..500).map(|_| Looked(7, 0));
    let rest = (0..40).map(|row| Looked(row + 100, 0));
    let mut line: VecDeque<_> = hot.chain([Looked(7, 1)]).chain(rest).map(&mut call).collect();
    let shape = |batch: &[Call<Looked>]| (batch.len(), batch.iter().map(|call| call.answers.len()).max());
    let first = next_batch(&mut line);
    assert_eq!(shape(&first), (32, Some(500)));
    assert_eq!(line.len(), 10, "what is not the very same waits");
    assert_eq!(shape(&next_batch(&mut line)), (8, Some(1)));
    drop(callers);
    assert!(next_batch(&mut line).is_empty());
}

#[test]
fn keys_of_texts_differ_where_the_texts_do() {
    assert_eq!(key_of(&["a", "b"]), key_of(&["a", "b"]));
    for other in [&["ab", ""][..], &["", "ab"], &["a", "b", ""], &["b", "a"]] {
        assert_ne!(key_of(&["a", "b"]), key_of(other), "{other:?}");
    }
}

#[test]
fn a_text_has_its_own_parameters_for_each_row() {
    let text = BatchText::new("A ", 2, " B");
    assert_eq!(text.of(1), "A VALUES ($1, $2) B");
    assert_eq!(text.of(2), "A VALUES ($1, $2), ($3, $4) B");
    assert!(text.of(MAX_BATCH).ends_with("($63, $64) B"));
}
