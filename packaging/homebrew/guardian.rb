# Builds Guardian from its source. Not yet run under brew itself: docs/macos.md.
#
# At a release the commented lines are used: the address of the release's archive, written out, and its sum
# (`shasum -a 256`). `homepage` and `head` name the repository that is public then.
class Guardian < Formula
  desc "Watches a Moltbot gateway and blocks it when it is exposed"
  homepage "https://example.com/guardian"
  version "0.1.0"
  # url "https://example.com/guardian/archive/refs/tags/v0.1.0.tar.gz"
  # sha256 ""
  license any_of: ["Apache-2.0", "MIT"]
  head "https://example.com/guardian.git", branch: "main"

  depends_on "rust" => :build

  def install
    system "cargo", "install", *std_cargo_args
    pages = buildpath/"pages"
    pages.mkpath
    system bin/"guardian", "manual", pages
    man1.install pages.glob("*.1")
    generate_completions_from_executable(bin/"guardian", "completions", shells: [:bash, :zsh, :fish])
  end

  # No `service`: what watches a machine must not lie where a user can change it, as this folder does. The
  # installer copies the program, and its services run the copy.
  def caveats
    <<~EOS
      Nothing is watched yet. To have Guardian watch this machine, and again after each upgrade:
        sudo #{opt_bin}/guardian install
      What it will do is printed by `#{opt_bin}/guardian install --dry-run`, typed with sudo too.
      Before `brew uninstall guardian`:
        sudo #{opt_bin}/guardian uninstall
    EOS
  end

  test do
    # The version is a commit where it was built from `head`.
    assert_match(/\Aguardian \d+\.\d+\.\d+$/, shell_output("#{bin}/guardian --version"))
    # Whatever runs on this machine, it answers, and the answer is the exit code's.
    report = JSON.parse(Utils.popen_read(bin/"guardian", "check", "--json"))
    assert_equal 1, report["schema"]
    assert_includes 0..3, report["exit"]
    assert_equal $CHILD_STATUS.exitstatus, report["exit"]
  end
end
