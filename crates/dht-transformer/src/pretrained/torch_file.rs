//! Reader of the zip archives that `torch.save` writes since PyTorch 1.6. An archive consists of storages (files of
//! elements) and a pickle that describes tensors as views of the storages.
//!
//! The archive `NAME` contains the files `NAME/data.pkl`, `NAME/byteorder`, and `NAME/data/KEY` for each storage.
//! PyTorch does not compress these files, so a storage is a range of bytes of the archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use flate2::Crc;
use zip::{CompressionMethod, ZipArchive, result::ZipError};

use super::header::{Problem, Tensors};
use super::pickle::{LONGEST_PICKLE, StorageRef, View, read_pickle};
use super::tensor_info::{TensorInfo, bits};
use crate::error::WeightsProblem;

/// Maximum number of bytes that are read to list the files of an archive.
const LONGEST_DIRECTORY: u64 = 16 << 20;

/// File in an uncompressed archive, stored as a range of bytes.
#[derive(Debug, Clone)]
pub(super) struct ArchivedFile {
    name: String,
    start: u64,
    bytes: u64,
    /// CRC-32 checksum; `None` if the archive has none, or if it was verified already.
    checksum: Option<u32>,
}

/// Reads the descriptions of the tensors in an archive of `length` bytes. Also returns the archived files, which
/// include the storages.
pub(super) fn read_archive(file: &mut File, length: u64) -> io::Result<Result<(Tensors, Vec<ArchivedFile>), Problem>> {
    let mut files = match list(file, length) {
        Ok(files) => files,
        Err(problem) => return Ok(Err((None, problem))),
    };
    read_tensors(file, &mut files).map(|tensors| tensors.map(|tensors| (tensors, files)))
}

/// Verifies the checksum of an archived file, unless it was verified already.
pub(super) fn verify(file: &mut File, archived: &mut ArchivedFile) -> io::Result<Result<(), WeightsProblem>> {
    let Some(checksum) = archived.checksum else { return Ok(Ok(())) };
    file.seek(SeekFrom::Start(archived.start))?;
    let (mut crc, mut left, mut buffer) = (Crc::new(), archived.bytes, vec![0; 1 << 16]);
    while left > 0 {
        let part = &mut buffer[..left.min(1 << 16) as usize];
        file.read_exact(part)?;
        crc.update(part);
        left -= part.len() as u64;
    }
    if crc.sum() != checksum {
        return Ok(Err(WeightsProblem::Archive { problem: format!("{} differs from its checksum", archived.name) }));
    }
    archived.checksum = None;
    Ok(Ok(()))
}

fn list(file: &mut File, length: u64) -> Result<Vec<ArchivedFile>, WeightsProblem> {
    let refuse = |problem: String| Err(WeightsProblem::Archive { problem });
    let failed =
        |error: ZipError| WeightsProblem::Archive { problem: format!("its directory is cut off or damaged ({error})") };
    let mut archive = ZipArchive::new(Metered { file, left: LONGEST_DIRECTORY }).map_err(failed)?;
    if archive.has_duplicate_names() {
        return refuse("two files have one name".into());
    }
    if archive.has_overlapping_entries().map_err(failed)? {
        return refuse("its files overlap".into());
    }
    if archive.file_names_raw().any(|name| name.ends_with(b"/constants.pkl")) {
        return refuse("it holds a program in TorchScript, not weights".into());
    }
    let mut files = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(failed)?;
        let name = entry.name().map_err(failed)?.into_owned();
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return refuse(format!("{name} is compressed or encrypted, which PyTorch's files are not"));
        }
        let (start, bytes) = (entry.data_start().unwrap_or(u64::MAX), entry.size());
        if bytes != entry.compressed_size() || start.checked_add(bytes).is_none_or(|end| end > length) {
            return refuse(format!("{name} has {bytes} bytes, which are not in the archive"));
        }
        // PyTorch stores 0 where it has computed no checksum.
        let checksum = Some(entry.crc32()).filter(|&checksum| checksum != 0);
        files.push(ArchivedFile { name, start, bytes, checksum });
    }
    Ok(files)
}

/// Reader that fails after a maximum number of bytes. It limits the time that is spent on listing a damaged archive.
struct Metered<'a> {
    file: &'a mut File,
    left: u64,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::other(format!("its directory has more than {LONGEST_DIRECTORY} bytes, or its end is missing"))
        })?;
        Ok(read)
    }
}

impl Seek for Metered<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

/// Reads a small archived file into memory, and verifies its checksum.
fn content(file: &mut File, archived: &mut ArchivedFile) -> io::Result<Result<Vec<u8>, WeightsProblem>> {
    if archived.bytes > LONGEST_PICKLE {
        return Ok(Err(WeightsProblem::HeaderTooLong { bytes: archived.bytes, most: LONGEST_PICKLE }));
    }
    if let Err(problem) = verify(file, archived)? {
        return Ok(Err(problem));
    }
    let mut bytes = vec![0; archived.bytes as usize];
    file.seek(SeekFrom::Start(archived.start))?;
    file.read_exact(&mut bytes)?;
    Ok(Ok(bytes))
}

/// Reads the descriptions of the tensors from the pickle of an archive.
fn read_tensors(file: &mut File, files: &mut [ArchivedFile]) -> io::Result<Result<Tensors, Problem>> {
    // As PyTorch does, all names are taken to be in the directory of the first.
    let first = files.first().map_or("", |file| &file.name);
    let root = first.split_once('/').map_or(first, |(root, _)| root).to_owned();
    let find = |files: &[ArchivedFile], name: &str| {
        files
            .iter()
            .position(|file| file.name.strip_prefix(&*root).and_then(|rest| rest.strip_prefix('/')) == Some(name))
    };
    let refuse = |problem: &str| Ok(Err((None, WeightsProblem::Archive { problem: problem.into() })));
    let Some(index) = find(files, "data.pkl") else { return refuse("there is no data.pkl in it") };
    let pickle = match content(file, &mut files[index])? {
        Ok(pickle) => pickle,
        Err(problem) => return Ok(Err((None, problem))),
    };
    let mut big_endian = false;
    if let Some(index) = find(files, "byteorder") {
        big_endian = match content(file, &mut files[index])? {
            Ok(order) if order == b"little" => false,
            Ok(order) if order == b"big" => true,
            Ok(_) => return refuse("the byteorder in it is neither little nor big"),
            Err(problem) => return Ok(Err((None, problem))),
        };
    }
    let views = match read_pickle(&pickle) {
        Ok(views) => views,
        Err(problem) => return Ok(Err((None, problem))),
    };
    let mut storages = BTreeMap::new();
    for (index, archived) in files.iter().enumerate() {
        if let Some(key) = archived.name.strip_prefix(&*root).and_then(|rest| rest.strip_prefix("/data/")) {
            storages.insert(key, (index, archived));
        }
    }
    let mut types = BTreeMap::new();
    let mut tensors = Tensors::new();
    for (name, view) in views {
        let info = storage_of(&view, &storages, &mut types).and_then(|(index, archived)| {
            let (bytes, strides) = layout(&view, archived.bytes)?;
            Ok(TensorInfo {
                dtype: view.dtype.into(),
                shape: view.shape.iter().map(|&size| size as usize).collect(),
                strides,
                start: archived.start + bytes.start,
                bytes: bytes.end - bytes.start,
                file: 0,
                storage: Some(index),
                big_endian,
            })
        });
        match info {
            Err(problem) => return Ok(Err((Some(name.into()), problem))),
            Ok(info) => {
                if tensors.insert(name.into(), info).is_some() {
                    return Ok(Err((Some(name.into()), WeightsProblem::Duplicate)));
                }
            }
        }
    }
    Ok(Ok(tensors))
}

/// Finds the archived file that holds the storage of a view. `types` collects the storage description of each view, so
/// that contradictory descriptions of one storage are detected.
fn storage_of<'a, 'f>(
    view: &View<'a>,
    storages: &BTreeMap<&str, (usize, &'f ArchivedFile)>,
    types: &mut BTreeMap<&'a str, StorageRef<'a>>,
) -> Result<(usize, &'f ArchivedFile), WeightsProblem> {
    let StorageRef { key, dtype, elements } = view.storage;
    let Some(&(index, archived)) = storages.get(key) else {
        return Err(WeightsProblem::Archive { problem: format!("there is no data/{key} in it") });
    };
    let expected = u64::try_from(elements).ok().and_then(|elements| elements.checked_mul(dtype.map_or(1, size)));
    if expected != Some(archived.bytes) {
        let problem = format!("data/{key} has {} bytes, and its pickle says {elements} elements", archived.bytes);
        return Err(WeightsProblem::Archive { problem });
    }
    if types.entry(key).or_insert_with(|| view.storage.clone()) != &view.storage {
        return Err(WeightsProblem::Archive { problem: format!("its pickle says two types of data/{key}") });
    }
    Ok((index, archived))
}

fn size(dtype: &str) -> u64 {
    bits(dtype).unwrap_or(8) / 8
}

/// Byte range of a view in its storage, and the strides of a view that is not in row-major order.
type Layout = (std::ops::Range<u64>, Option<Vec<usize>>);

fn layout(view: &View<'_>, most: u64) -> Result<Layout, WeightsProblem> {
    let View { dtype, offset, shape, strides, .. } = view;
    let outside =
        || WeightsProblem::View { offset: *offset, shape: shape.clone(), strides: strides.clone(), bytes: most };
    let numbers = |values: &[i64]| values.iter().map(|&value| usize::try_from(value).ok()).collect::<Option<Vec<_>>>();
    let (Some(sizes), Some(steps)) = (numbers(shape), numbers(strides)) else { return Err(outside()) };
    let (Ok(offset), true) = (u64::try_from(*offset), sizes.len() == steps.len()) else { return Err(outside()) };
    if sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size)).is_none() {
        return Err(outside());
    }
    // Elements from the first to the last.
    let mut span = Some(1_u64);
    let (mut next, mut contiguous) = (1, true);
    for (&size, &step) in sizes.iter().zip(&steps).rev() {
        let last = (size as u64).saturating_sub(1).checked_mul(step as u64);
        span = span.zip(last).and_then(|(span, last)| span.checked_add(last));
        contiguous &= size < 2 || step == next;
        next *= size;
    }
    if sizes.contains(&0) {
        (span, contiguous) = (Some(0), true);
    }
    let bytes = |elements: u64| elements.checked_mul(size(dtype));
    let end = span.and_then(|span| offset.checked_add(span)).and_then(bytes).filter(|&end| end <= most);
    let (Some(start), Some(end)) = (bytes(offset), end) else { return Err(outside()) };
    Ok((start..end, (!contiguous).then_some(steps)))
}
