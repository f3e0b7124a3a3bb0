//! Tables for people: aligned columns, two spaces apart.

use std::fmt;

use console::measure_text_width;

use crate::out;

/// Rows of text under headings.
#[derive(Debug)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows. Columns whose cells are all numbers are set to the right.
    pub fn new(headings: impl Into<Vec<&'static str>>) -> Self {
        Self { headings: headings.into(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl ToString>) {
        // As it will be printed, and on one line: so its width is known, and no cell looks like another row.
        let cell = |cell: String| out::escaped(cell).replace('\n', "\\n");
        self.rows.push(cells.into_iter().map(|text| cell(text.to_string())).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
        let columns: Vec<(usize, bool)> = self
            .headings
            .iter()
            .enumerate()
            .map(|(column, heading)| {
                let cells = || self.rows.iter().map(|row| cell(row, column));
                let width = cells().map(|cell| measure_text_width(&cell)).max().unwrap_or(0);
                let numbers = !self.rows.is_empty() && cells().all(|cell| is_number(&cell));
                (width.max(measure_text_width(heading)), numbers)
            })
            .collect();
        let mut line = |cells: Vec<String>| {
            let mut text = String::new();
            for (cell, (width, numbers)) in cells.iter().zip(&columns) {
                let padding = " ".repeat(width.saturating_sub(measure_text_width(cell)));
                let (left, right) = if *numbers { (padding.as_str(), "") } else { ("", padding.as_str()) };
                text += &format!("{left}{cell}{right}  ");
            }
            writeln!(f, "{}", text.trim_end())
        };
        line(self.headings.iter().map(|heading| (*heading).to_owned()).collect())?;
        for row in &self.rows {
            line((0..columns.len()).map(|column| cell(row, column)).collect())?;
        }
        Ok(())
    }
}

fn is_number(cell: &str) -> bool {
    cell.is_empty() || cell == "-" || cell.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b','))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_numbers_stand_right() {
        let mut table = Table::new(["queue", "depth", "note"]);
        table.row(["intake", "5", "x"]);
        table.row(["a-longer-one", "1200", ""]);
        assert_eq!(
            table.to_string(),
            "queue         depth  note\nintake            5  x\na-longer-one   1200\n"
        );
    }
}
