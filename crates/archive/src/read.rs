//! Finding rows in an object of the archive. Nothing here fetches: whoever has the object gives the bytes that are asked for,
//! so that of a large object only its footer and the columns that are searched are read, and of the rest what belongs to rows
//! that are found.

use std::{ops::Range, sync::Arc};

use arrow_array::{
    Array, BooleanArray, ListArray, RecordBatch, StructArray,
    cast::AsArray,
    types::{Int32Type, TimestampMicrosecondType},
};
use arrow_schema::ArrowError;
use bytes::Bytes;
use parquet::{
    DecodeResult,
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowPredicateFn, RowFilter},
        push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder},
    },
    bloom_filter::Sbbf,
    errors::ParquetError,
    file::{
        metadata::{
            ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder,
            RowGroupMetaData,
        },
        statistics::Statistics,
    },
};
use tollgate_core::Timestamp;

use crate::columns::of_event;

/// The end of an object that is read first: its footer, which is some 10 KB.
const TAIL_BYTES: u64 = 64 * 1024;
/// Rows that are decoded at a time. A body may have a megabyte.
const BATCH_ROWS: usize = 32;
/// What every webhook's id begins with; no id of a queue's message does, which is hexadecimal.
const WEBHOOK: &str = "wh_";
/// The attribute of an intake message that names its webhook.
const ATTRIBUTE: &str = "webhook_id";

/// Which rows are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Those of this delivery, and messages that could not be read and say that they are of it.
    Webhook(String),
    /// Those with an event that has this text in one of these fields.
    Event {
        /// Fields of `events`, as the schema calls them.
        fields: &'static [&'static str],
        /// The text.
        text: String,
    },
    /// Those that arrived in this time.
    Received {
        /// From this moment on.
        from: Timestamp,
        /// Before this moment.
        to: Timestamp,
    },
}

/// A row of the archive, as `docs/archive.md` describes its columns. What an older object has no column for is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the page describes each")]
pub struct ArchivedRow {
    pub webhook_id: String,
    pub received_at: Timestamp,
    pub endpoint: String,
    pub provider: String,
    pub source_ip: String,
    pub authenticity: String,
    pub key_id: String,
    pub signed_at: Option<Timestamp>,
    pub verified_at: Timestamp,
    /// When it was taken in, where it was refused when it arrived.
    pub taken_in_at: Option<Timestamp>,
    pub body_sha256: String,
    pub body: Vec<u8>,
    pub headers: Vec<(String, String)>,
    pub query: String,
    pub only_transaction: Option<String>,
    pub outcome: String,
    /// Each event's JSON.
    pub events: Vec<String>,
    pub reason: Option<String>,
    pub part: i32,
    pub replayed_by: Option<String>,
    /// What was fetched for its event, as its provider told it.
    pub object: Option<Vec<u8>>,
}

/// An object that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no Parquet file, or a damaged one.
    #[error("archive object: {0}")]
    Parquet(#[from] ParquetError),
    /// A column is missing, or is of another type.
    #[error("archive object: the column {0} is not as the schema has it")]
    Column(&'static str),
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// These ranges of the object are to be [given](Finder::give).
    Needs(Vec<Range<u64>>),
    /// Some of the rows.
    Rows(Vec<ArchivedRow>),
    /// There are no more.
    Nothing,
}

/// A search through one object.
#[derive(Debug)]
pub struct Finder {
    wanted: Arc<Wanted>,
    state: State,
    /// What was given of the object's end: the filters are next to the footer, so that they mostly are in it.
    end: Vec<(Range<u64>, Bytes)>,
}

#[derive(Debug)]
enum State {
    Footer(Box<ParquetMetaDataPushDecoder>),
    Filters(Box<Filters>),
    Rows(Box<ParquetPushDecoder>),
    Done,
}

impl Finder {
    /// Through an object of `length` bytes.
    ///
    /// # Errors
    ///
    /// [`ReadError`]: it is too short.
    pub fn new(length: u64, wanted: Arc<Wanted>) -> Result<Self, ReadError> {
        let decoder = ParquetMetaDataPushDecoder::try_new(length)?;
        let decoder = decoder.with_page_index_policy(PageIndexPolicy::Skip);
        Ok(Self { wanted, state: State::Footer(Box::new(decoder)), end: Vec::new() })
    }

    /// The range that is best given first, of an object of `length` bytes.
    pub fn tail(length: u64) -> Range<u64> {
        length.saturating_sub(TAIL_BYTES)..length
    }

    /// Takes the bytes of a range.
    ///
    /// # Errors
    ///
    /// [`ReadError`]: they are not as many as the range has.
    pub fn give(&mut self, range: Range<u64>, bytes: Bytes) -> Result<(), ReadError> {
        match &mut self.state {
            State::Footer(decoder) => {
                self.end.push((range.clone(), bytes.clone()));
                decoder.push_range(range, bytes)?;
            }
            State::Filters(filters) => filters.given.push((range, bytes)),
            State::Rows(decoder) => decoder.push_range(range, bytes)?,
            State::Done => {}
        }
        Ok(())
    }

    /// Goes on as far as the bytes reach that were given.
    ///
    /// # Errors
    ///
    /// [`ReadError`]
    pub fn advance(&mut self) -> Result<Next, ReadError> {
        loop {
            let next = match &mut self.state {
                State::Footer(decoder) => match decoder.try_decode()? {
                    DecodeResult::NeedsData(ranges) => return Ok(Next::Needs(ranges)),
                    DecodeResult::Data(metadata) => {
                        match Filters::of(metadata, &self.wanted, std::mem::take(&mut self.end)) {
                            Ok(filters) => State::Filters(Box::new(filters)),
                            Err(metadata) => rows_or_done(metadata, &self.wanted)?,
                        }
                    }
                    DecodeResult::Finished => State::Done,
                },
                State::Filters(filters) => match filters.may_hold(&self.wanted)? {
                    None => return Ok(Next::Needs(filters.missing())),
                    Some(true) => rows_or_done(filters.metadata.clone(), &self.wanted)?,
                    Some(false) => State::Done,
                },
                State::Rows(decoder) => match decoder.try_decode()? {
                    DecodeResult::NeedsData(ranges) => return Ok(Next::Needs(ranges)),
                    DecodeResult::Data(batch) => return Ok(Next::Rows(read(&batch)?)),
                    DecodeResult::Finished => State::Done,
                },
                State::Done => return Ok(Next::Nothing),
            };
            self.state = next;
        }
    }
}

/// The Bloom filters of the ids that are looked for: the rows are read only if one of them may have it.
#[derive(Debug)]
struct Filters {
    metadata: Arc<ParquetMetaData>,
    wanted: Vec<Range<u64>>,
    given: Vec<(Range<u64>, Bytes)>,
}

impl Filters {
    /// The metadata back where a column that is looked through has none, as in objects from before they were written.
    fn of(
        metadata: ParquetMetaData,
        wanted: &Wanted,
        given: Vec<(Range<u64>, Bytes)>,
    ) -> Result<Self, Arc<ParquetMetaData>> {
        let metadata = Arc::new(metadata);
        let Wanted::Event { fields, .. } = wanted else { return Err(metadata) };
        let paths: Vec<String> = fields.iter().map(|field| of_event(field)).collect();
        let chunks = metadata.row_groups().iter().flat_map(RowGroupMetaData::columns);
        let chunks = chunks.filter(|chunk| paths.contains(&chunk.column_path().string()));
        let ranges: Option<Vec<Range<u64>>> = chunks.map(filter_of).collect();
        match ranges.filter(|ranges| !ranges.is_empty()) {
            Some(wanted) => Ok(Self { metadata, wanted, given }),
            None => Err(metadata),
        }
    }

    /// Whether a row may have it; `None` until every filter was given.
    fn may_hold(&self, wanted: &Wanted) -> Result<Option<bool>, ReadError> {
        let Wanted::Event { text, .. } = wanted else { return Ok(Some(true)) };
        let filters: Option<Vec<&[u8]>> = self.wanted.iter().map(|range| self.bytes(range)).collect();
        let Some(filters) = filters else { return Ok(None) };
        for filter in filters {
            if Sbbf::from_bytes(filter)?.check(text.as_str()) {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    }

    fn missing(&self) -> Vec<Range<u64>> {
        self.wanted.iter().filter(|range| self.bytes(range).is_none()).cloned().collect()
    }

    /// Of whatever range was given that has it.
    fn bytes(&self, wanted: &Range<u64>) -> Option<&[u8]> {
        self.given.iter().find_map(|(range, bytes)| {
            let from = usize::try_from(wanted.start.checked_sub(range.start)?).ok()?;
            let to = usize::try_from(wanted.end.checked_sub(range.start)?).ok()?;
            bytes.get(from..to)
        })
    }
}

fn filter_of(chunk: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let from = u64::try_from(chunk.bloom_filter_offset()?).ok()?;
    let length = u64::try_from(chunk.bloom_filter_length()?).ok()?;
    Some(from..from.checked_add(length)?)
}

fn rows_or_done(metadata: Arc<ParquetMetaData>, wanted: &Arc<Wanted>) -> Result<State, ReadError> {
    Ok(rows(metadata, wanted)?.map_or(State::Done, |decoder| State::Rows(Box::new(decoder))))
}

/// What reads the rows; none where the footer says that there are none.
fn rows(
    metadata: Arc<ParquetMetaData>,
    wanted: &Arc<Wanted>,
) -> Result<Option<ParquetPushDecoder>, ReadError> {
    let columns: Vec<String> = match &**wanted {
        Wanted::Webhook(id) => {
            let (may_hold, has_unread) = of_footer(&metadata, id);
            if !may_hold && !has_unread {
                return Ok(None);
            }
            let unread = has_unread.then(|| "headers".to_owned());
            std::iter::once("webhook_id".to_owned()).chain(unread).collect()
        }
        Wanted::Event { fields, .. } => fields.iter().map(|field| of_event(field)).collect(),
        Wanted::Received { from, to } => {
            if !may_be_of(&metadata, *from, *to) {
                return Ok(None);
            }
            vec!["received_at".to_owned()]
        }
    };
    let builder = ParquetPushDecoderBuilder::try_new_decoder(metadata)?;
    let searched = ProjectionMask::columns(builder.parquet_schema(), columns.iter().map(String::as_str));
    let wanted = Arc::clone(wanted);
    let filter = ArrowPredicateFn::new(searched, move |batch| matches(&batch, &wanted));
    let builder = builder.with_row_filter(RowFilter::new(vec![Box::new(filter)]));
    Ok(Some(builder.with_batch_size(BATCH_ROWS).build()?))
}

/// Whether the statistics leave room for the webhook, and for messages that could not be read.
fn of_footer(metadata: &ParquetMetaData, id: &str) -> (bool, bool) {
    let (mut may_hold, mut has_unread) = (false, false);
    for group in metadata.row_groups() {
        let column = group.columns().iter().find(|column| column.column_path().string() == "webhook_id");
        let statistics = column.and_then(|column| column.statistics());
        let bounds = statistics.and_then(|known| Some((known.min_bytes_opt()?, known.max_bytes_opt()?)));
        let Some((first, last)) = bounds else { return (true, true) };
        may_hold |= (first..=last).contains(&id.as_bytes());
        // Their ids sort before every webhook's.
        has_unread |= first < WEBHOOK.as_bytes();
    }
    (may_hold, has_unread)
}

/// Whether the statistics leave room for rows of this time.
fn may_be_of(metadata: &ParquetMetaData, from: Timestamp, to: Timestamp) -> bool {
    metadata.row_groups().iter().any(|group| {
        let column = group.columns().iter().find(|column| column.column_path().string() == "received_at");
        let Some(Statistics::Int64(known)) = column.and_then(|column| column.statistics()) else {
            return true;
        };
        let (Some(first), Some(last)) = (known.min_opt(), known.max_opt()) else { return true };
        *first < to.as_microsecond() && *last >= from.as_microsecond()
    })
}

fn matches(batch: &RecordBatch, wanted: &Wanted) -> Result<BooleanArray, ArrowError> {
    let missing = |name: &str| ArrowError::SchemaError(format!("no column {name}"));
    let column = |name: &'static str| batch.column_by_name(name).ok_or_else(|| missing(name));
    match wanted {
        Wanted::Webhook(id) => {
            let ids = column("webhook_id")?.as_string_opt::<i32>().ok_or_else(|| missing("webhook_id"))?;
            let headers = batch.column_by_name("headers").and_then(|headers| headers.as_list_opt::<i32>());
            let says_so = |row: usize| {
                let headers = headers.map(|headers| pairs(headers, row)).unwrap_or_default();
                headers.iter().any(|(name, value)| name == ATTRIBUTE && value == id)
            };
            let is_one = |row| {
                let own = ids.value(row);
                own == id || (!own.starts_with(WEBHOOK) && says_so(row))
            };
            Ok((0..batch.num_rows()).map(|row| Some(is_one(row))).collect())
        }
        Wanted::Received { from, to } => {
            let moments = column("received_at")?.as_primitive_opt::<TimestampMicrosecondType>();
            let moments = moments.ok_or_else(|| missing("received_at"))?;
            let time = from.as_microsecond()..to.as_microsecond();
            Ok(moments.iter().map(|at| at.map(|at| time.contains(&at))).collect())
        }
        Wanted::Event { fields, text } => {
            let events = column("events")?.as_list_opt::<i32>().ok_or_else(|| missing("events"))?;
            let is_one = |row| {
                fields.iter().any(|field| texts(events, row, field).iter().flatten().any(|one| one == text))
            };
            Ok((0..batch.num_rows()).map(|row| Some(is_one(row))).collect())
        }
    }
}

fn read(batch: &RecordBatch) -> Result<Vec<ArchivedRow>, ReadError> {
    let optional_text =
        |name: &'static str| batch.column_by_name(name).and_then(|one| one.as_string_opt::<i32>());
    let moments = |name: &'static str| {
        batch.column_by_name(name).and_then(|one| one.as_primitive_opt::<TimestampMicrosecondType>())
    };
    let lists = |name: &'static str| batch.column_by_name(name).and_then(|one| one.as_list_opt::<i32>());
    let (headers, events) = (lists("headers"), lists("events"));
    let parts = batch.column_by_name("part").and_then(|one| one.as_primitive_opt::<Int32Type>());
    let bytes = |name: &'static str| batch.column_by_name(name).and_then(|one| one.as_binary_opt::<i32>());
    let (bodies, objects) = (bytes("body"), bytes("object"));
    let one = |row: usize| {
        let optional = |name| {
            let texts = optional_text(name)?;
            (!texts.is_null(row)).then(|| texts.value(row).to_owned())
        };
        let text = |name: &'static str| optional(name).ok_or(ReadError::Column(name));
        let moment = |name: &'static str| {
            let moments = moments(name).filter(|moments| !moments.is_null(row))?;
            Timestamp::from_microsecond(moments.value(row)).ok()
        };
        Ok(ArchivedRow {
            webhook_id: text("webhook_id")?,
            received_at: moment("received_at").ok_or(ReadError::Column("received_at"))?,
            endpoint: text("endpoint")?,
            provider: text("provider")?,
            source_ip: text("source_ip")?,
            authenticity: text("authenticity")?,
            key_id: text("key_id")?,
            signed_at: moment("signed_at"),
            taken_in_at: moment("taken_in_at"),
            verified_at: moment("verified_at").ok_or(ReadError::Column("verified_at"))?,
            body_sha256: text("body_sha256")?,
            body: bodies.ok_or(ReadError::Column("body"))?.value(row).to_owned(),
            headers: pairs(headers.ok_or(ReadError::Column("headers"))?, row),
            query: text("query")?,
            only_transaction: optional("only_transaction"),
            outcome: text("outcome")?,
            events: texts(events.ok_or(ReadError::Column("events"))?, row, "json")
                .into_iter()
                .flatten()
                .collect(),
            reason: optional("reason"),
            part: parts.filter(|parts| !parts.is_null(row)).map_or(0, |parts| parts.value(row)),
            replayed_by: optional("replayed_by"),
            object: objects.filter(|one| !one.is_null(row)).map(|one| one.value(row).to_owned()),
        })
    };
    (0..batch.num_rows()).map(one).collect()
}

fn pairs(lists: &ListArray, row: usize) -> Vec<(String, String)> {
    let (names, values) = (texts(lists, row, "name"), texts(lists, row, "value"));
    let pair = |(name, value): (Option<String>, Option<String>)| Some((name?, value?));
    names.into_iter().zip(values).filter_map(pair).collect()
}

/// A field of each struct of a row's list.
fn texts(lists: &ListArray, row: usize, field: &str) -> Vec<Option<String>> {
    let structs = lists.value(row);
    let structs: Option<&StructArray> = structs.as_struct_opt();
    let column = structs.and_then(|structs| structs.column_by_name(field)?.as_string_opt::<i32>());
    column.map(|texts| texts.iter().map(|text| text.map(str::to_owned)).collect()).unwrap_or_default()
}
