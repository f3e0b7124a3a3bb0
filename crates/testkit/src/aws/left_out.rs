//! Batch calls of which some entries are not done.

use serde_json::{Value, json};

/// The code of an entry that was not done and may be done later; each service has its own.
pub const UNDONE: &str = "undone";

/// A batch call's entries, without what differs each time they are sent: their ids in the call, and the order of a
/// statement's parameters.
pub(super) fn texts(operation: &str, request: &Value) -> Vec<String> {
    let mut request = request.clone();
    let text = |entry: &mut Value| {
        entry.as_object_mut().map(|fields| fields.remove("Id"));
        match entry["Parameters"].as_array() {
            None => entry.to_string(),
            Some(parameters) => {
                let mut texts: Vec<String> = parameters.iter().map(Value::to_string).collect();
                texts.sort_unstable();
                texts.concat()
            }
        }
    };
    entries(operation, &mut request).into_iter().flatten().map(text).collect()
}

/// How many entries a batch call has; none, where it is no batch call that can be answered in part.
pub fn entry_count(operation: &str, request: &Value) -> usize {
    entries(operation, &mut request.clone()).iter().map(|list| list.len()).sum()
}

/// The lists of a batch call's entries.
fn entries<'r>(operation: &str, request: &'r mut Value) -> Vec<&'r mut Vec<Value>> {
    let tables = |request: &'r mut Value| request["RequestItems"].as_object_mut().into_iter().flatten();
    let lists: Vec<Option<&mut Vec<Value>>> = match operation {
        "SendMessageBatch" | "PutEvents" => vec![request["Entries"].as_array_mut()],
        "BatchExecuteStatement" => vec![request["Statements"].as_array_mut()],
        "BatchWriteItem" => tables(request).map(|(_, list)| list.as_array_mut()).collect(),
        "BatchGetItem" => tables(request).map(|(_, table)| table["Keys"].as_array_mut()).collect(),
        _ => Vec::new(),
    };
    lists.into_iter().flatten().collect()
}

/// A batch call of which some entries are not done.
#[derive(Debug)]
pub struct LeftOut {
    operation: String,
    /// The request of the others.
    pub rest: Value,
    has_rest: bool,
    request: Value,
    /// Their places, in order, and their codes.
    left_out: Vec<(usize, &'static str)>,
}

impl LeftOut {
    /// Leaves out the entries at these places, each with its error's code: [`UNDONE`], or the one of a refusal.
    pub fn of(operation: &str, request: &Value, mut left_out: Vec<(usize, &'static str)>) -> Self {
        left_out.sort_unstable();
        let mut rest = request.clone();
        let mut index = 0;
        for list in entries(operation, &mut rest) {
            list.retain(|_| {
                index += 1;
                !left_out.iter().any(|(place, _)| *place == index - 1)
            });
        }
        let has_rest = left_out.is_empty() || !texts(operation, &rest).is_empty();
        Self { operation: operation.to_owned(), rest, has_rest, request: request.clone(), left_out }
    }

    /// Whether no entry is to be done.
    pub fn is_all(&self) -> bool {
        !self.has_rest
    }

    /// The answer for all, of the answer for the others.
    pub fn merged(mut self, mut answer: Value) -> Value {
        if self.left_out.is_empty() {
            return answer;
        }
        let list = |answer: &mut Value, name: &str| {
            if !answer[name].is_array() {
                answer[name] = json!([]);
            }
        };
        match self.operation.as_str() {
            "SendMessageBatch" => {
                list(&mut answer, "Successful");
                list(&mut answer, "Failed");
                for (index, code) in self.left_out {
                    let (code, fault) = if code == UNDONE { ("InternalError", false) } else { (code, true) };
                    let id = &self.request["Entries"][index]["Id"];
                    let failed = json!({"Id": id, "Code": code, "SenderFault": fault});
                    answer["Failed"].as_array_mut().unwrap().push(failed);
                }
            }
            "PutEvents" => {
                list(&mut answer, "Entries");
                for (index, code) in self.left_out {
                    let code = if code == UNDONE { "ThrottlingException" } else { code };
                    let entries = answer["Entries"].as_array_mut().unwrap();
                    entries.insert(index, json!({"ErrorCode": code, "ErrorMessage": "no"}));
                }
                let entries = answer["Entries"].as_array().unwrap();
                let failed = entries.iter().filter(|entry| entry.get("ErrorCode").is_some()).count();
                answer["FailedEntryCount"] = json!(failed);
            }
            "BatchExecuteStatement" => {
                list(&mut answer, "Responses");
                for (index, code) in self.left_out {
                    let code = if code == UNDONE { "ThrottlingError" } else { code };
                    let responses = answer["Responses"].as_array_mut().unwrap();
                    responses.insert(index, json!({"Error": {"Code": code, "Message": "no"}}));
                }
            }
            _ => self.unprocessed(&mut answer),
        }
        answer
    }

    /// Adds what was left out to the answer as it was asked for.
    fn unprocessed(&mut self, answer: &mut Value) {
        let name = if self.operation == "BatchGetItem" { "UnprocessedKeys" } else { "UnprocessedItems" };
        let mut index = 0;
        for list in entries(&self.operation, &mut self.request) {
            list.retain(|_| {
                index += 1;
                self.left_out.iter().any(|(place, _)| *place == index - 1)
            });
        }
        let asked = self.request["RequestItems"].take();
        for (table, left) in asked.as_object().into_iter().flatten() {
            let is_empty = left.as_array().or_else(|| left["Keys"].as_array()).is_none_or(Vec::is_empty);
            if !is_empty {
                answer[name][table] = left.clone();
            }
        }
    }
}
