//! Whether an RMM image and this monitor fit together.

use core::fmt;

use rmm_abi::Version;
use rmm_abi::el3::ImageHeader;

/// The RMM-EL3 interface that the monitor implements.
pub const VERSION: Version = Version::new(0, 8);

/// The interface versions that an image states.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImageVersions {
    /// Lowest that it accepts.
    pub lowest: Version,
    /// Highest that it was written for.
    pub highest: Version,
}

/// Why an image is not entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The versions in its header are not versions, or the wrong way round.
    Malformed,
    /// It was written for other major versions.
    Major(ImageVersions),
    /// It needs a higher minor version.
    Minor(ImageVersions),
    /// It asks for less memory than its file has.
    Memory,
}

impl fmt::Display for ImageVersions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.lowest, self.highest)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => write!(f, "the interface versions in its header make no sense"),
            Self::Major(versions) | Self::Minor(versions) => write!(
                f,
                "it speaks RMM-EL3 interface {versions}, this monitor {VERSION}"
            ),
            Self::Memory => write!(f, "its header asks for less memory than the file has"),
        }
    }
}

/// The header of an image, where it has one.
pub fn image_header(image: &[u8]) -> Option<ImageHeader> {
    let (header, _) = <ImageHeader as zerocopy::FromBytes>::read_from_prefix(image).ok()?;
    (header.magic == ImageHeader::MAGIC).then_some(header)
}

/// The versions that a header states.
///
/// # Errors
///
/// [`Refusal::Malformed`]
pub fn versions(header: &ImageHeader) -> Result<ImageVersions, Refusal> {
    let version = |word: u32| Version::from_word(u64::from(word)).ok_or(Refusal::Malformed);
    let versions = ImageVersions {
        lowest: version(header.lowest_interface)?,
        highest: version(header.highest_interface)?,
    };
    if versions.lowest > versions.highest {
        return Err(Refusal::Malformed);
    }
    Ok(versions)
}

/// Whether an image of `file_size` bytes with this header may be entered.
///
/// # Errors
///
/// See [`Refusal`].
pub fn check(header: &ImageHeader, file_size: u64) -> Result<ImageVersions, Refusal> {
    let versions = versions(header)?;
    if VERSION.major() < versions.lowest.major() || VERSION.major() > versions.highest.major() {
        return Err(Refusal::Major(versions));
    }
    if VERSION < versions.lowest {
        return Err(Refusal::Minor(versions));
    }
    if header.image_memory < file_size {
        return Err(Refusal::Memory);
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    fn header(lowest: (u16, u16), highest: (u16, u16)) -> ImageHeader {
        let word = |(major, minor)| u32::try_from(Version::new(major, minor).word()).unwrap();
        ImageHeader {
            entry: 0,
            magic: ImageHeader::MAGIC,
            lowest_interface: word(lowest),
            highest_interface: word(highest),
            image_memory: 0x2000,
            memory_per_cpu: 0,
            memory_per_granule: 0,
            fixed_memory: 0,
        }
    }

    #[test]
    fn the_header_is_found_by_its_magic() {
        let header = header((0, 3), (0, 8));
        assert_eq!(
            image_header(header.as_bytes()).unwrap().image_memory,
            0x2000
        );
        assert!(image_header(&header.as_bytes()[..47]).is_none());
        assert!(image_header(&[0; 64]).is_none());
    }

    #[test]
    fn fits_when_the_major_is_the_same_and_our_minor_is_not_too_low() {
        for (lowest, highest) in [((0, 3), (0, 8)), ((0, 8), (0, 8)), ((0, 1), (0, 5))] {
            assert!(check(&header(lowest, highest), 0x2000).is_ok());
        }
        // An image for two majors is in between.
        assert!(check(&header((0, 8), (2, 0)), 0x2000).is_ok());
    }

    #[test]
    fn refused_by_reason() {
        let refusal = |lowest, highest| check(&header(lowest, highest), 0x2000).unwrap_err();
        assert!(matches!(refusal((1, 0), (2, 0)), Refusal::Major(_)));
        assert!(matches!(refusal((0, 9), (0, 9)), Refusal::Minor(_)));
        assert_eq!(refusal((0, 8), (0, 3)), Refusal::Malformed);
        assert_eq!(check(&header((0, 3), (0, 8)), 0x2001), Err(Refusal::Memory));
        let mut malformed = header((0, 3), (0, 8));
        malformed.highest_interface = 1 << 31;
        assert_eq!(check(&malformed, 0x2000), Err(Refusal::Malformed));
        // The line for people names both sides.
        let text = std::format!("{}", refusal((1, 0), (2, 0)));
        assert!(
            text.contains("1.0 to 2.0") && text.contains("0.8"),
            "{text}"
        );
    }
}
