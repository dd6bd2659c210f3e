//! The command `image-tool`; what it does is in the library.

fn main() -> std::process::ExitCode {
    image_tool::main()
}
