//! Writer of archives in the format of `torch.save`. Tests control every detail of the pickle and the zip file.

use flate2::Crc;

/// Tensor in a pickle, which is a view of a storage.
#[derive(Clone)]
pub struct View {
    pub name: String,
    /// Name of the storage.
    pub key: String,
    /// Class of the storage, such as `FloatStorage`.
    pub class: &'static str,
    /// Number of elements of the storage.
    pub elements: usize,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

impl View {
    /// View of a whole storage in row-major order.
    pub fn whole(name: &str, key: &str, class: &'static str, shape: &[usize]) -> Self {
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis];
        }
        let elements = shape.iter().product();
        Self { name: name.into(), key: key.into(), class, elements, offset: 0, shape: shape.to_vec(), strides }
    }
}

/// Pickle under construction.
#[derive(Default, Clone)]
pub struct Pickle(pub Vec<u8>);

impl Pickle {
    pub fn new() -> Self {
        Self(b"\x80\x02".to_vec())
    }

    pub fn op(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend(bytes);
        self
    }

    pub fn text(&mut self, text: &str) -> &mut Self {
        self.op(b"X").op(&(text.len() as u32).to_le_bytes()).op(text.as_bytes())
    }

    pub fn number(&mut self, number: usize) -> &mut Self {
        match number {
            0..256 => self.op(&[b'K', number as u8]),
            256..65536 => self.op(b"M").op(&(number as u16).to_le_bytes()),
            _ if i32::try_from(number).is_ok() => self.op(b"J").op(&(number as u32).to_le_bytes()),
            _ if number >> 63 == 0 => self.op(b"\x8a\x08").op(&(number as u64).to_le_bytes()),
            _ => self.op(b"\x8a\x09").op(&(number as u64).to_le_bytes()).op(&[0]),
        }
    }

    pub fn global(&mut self, module: &str, name: &str) -> &mut Self {
        self.op(format!("c{module}\n{name}\n").as_bytes())
    }

    pub fn numbers(&mut self, numbers: &[usize]) -> &mut Self {
        self.op(b"(");
        for &number in numbers {
            self.number(number);
        }
        self.op(b"t")
    }

    pub fn tensor(&mut self, view: &View) -> &mut Self {
        self.global("torch._utils", "_rebuild_tensor_v2").op(b"((").text("storage").global("torch", view.class);
        self.text(&view.key).text("cpu").number(view.elements).op(b"tQ");
        self.number(view.offset).numbers(&view.shape).numbers(&view.strides);
        self.op(b"\x89").global("collections", "OrderedDict").op(b")RtR")
    }

    /// Pickled dictionary of tensors, as `torch.save` writes it for a module, with the versions of the module's parts.
    pub fn state_dict(views: &[View]) -> Vec<u8> {
        let mut pickle = Self::new();
        pickle.global("collections", "OrderedDict").op(b"q\x00)Rq\x01(");
        for view in views {
            pickle.text(&view.name).tensor(view);
        }
        pickle.op(b"u}").text("_metadata").op(b"h\x00)R").text("").op(b"}").text("version").op(b"K\x01sssb.");
        pickle.0
    }
}

/// File in an archive.
#[derive(Clone)]
pub struct Member {
    pub name: String,
    pub data: Vec<u8>,
    /// Compression method: 0 for none.
    pub method: u16,
    /// Size that the zip directory states; `None` for the correct size.
    pub size: Option<u32>,
    /// Checksum that the zip directory states; `None` for the correct checksum.
    pub checksum: Option<u32>,
}

impl Member {
    pub fn new(name: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), data: data.into(), method: 0, size: None, checksum: None }
    }
}

/// Zip archive with these files.
pub fn zip(members: &[Member]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let mut crc = Crc::new();
        crc.update(&member.data);
        let length = member.data.len() as u32;
        let mut facts = Vec::new();
        facts.extend(20_u16.to_le_bytes());
        facts.extend(0_u16.to_le_bytes());
        facts.extend(member.method.to_le_bytes());
        facts.extend([0; 4]);
        facts.extend(member.checksum.unwrap_or(crc.sum()).to_le_bytes());
        facts.extend(member.size.unwrap_or(length).to_le_bytes());
        facts.extend(member.size.unwrap_or(length).to_le_bytes());
        facts.extend((member.name.len() as u16).to_le_bytes());
        facts.extend(0_u16.to_le_bytes());
        let start = file.len() as u32;
        file.extend(b"PK\x03\x04");
        file.extend(&facts);
        file.extend(member.name.as_bytes());
        file.extend(&member.data);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&facts);
        directory.extend([0; 10]);
        directory.extend(start.to_le_bytes());
        directory.extend(member.name.as_bytes());
    }
    let start = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend((members.len() as u16).to_le_bytes());
    file.extend((members.len() as u16).to_le_bytes());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0, 0]);
    file
}

/// Members of an archive of `torch.save` with this pickle and these storages.
pub fn members(pickle: &[u8], storages: &[(String, Vec<u8>)]) -> Vec<Member> {
    let mut members = vec![Member::new("archive/data.pkl", pickle), Member::new("archive/byteorder", b"little")];
    members.extend(storages.iter().map(|(key, data)| Member::new(format!("archive/data/{key}"), &**data)));
    members.push(Member::new("archive/version", b"3\n"));
    members
}
