# Evaluates a formula without brew: what it says is recorded, `install` is run into a folder, with a stand-in for
# `cargo install` that copies a program that is built, and then its test.
#
#   ruby tests/lab/formula.rb FORMULA PROGRAM PREFIX
#
# Prints what was said and installed as JSON. Of brew's words (https://rubydoc.brew.sh/Formula) it knows those that
# the formula uses: any other fails, which is right.

require "English"
require "fileutils"
require "json"
require "minitest"
require "open3"
require "pathname"

module Utils
  def self.popen_read(*command) = IO.popen(command.map(&:to_s), &:read)
end

class Pathname
  # brew's: copies files into the folder.
  def install(*files)
    mkpath
    FileUtils.cp(files.flatten.map(&:to_s), to_s)
  end
end

class Formula
  include Minitest::Assertions
  attr_accessor :assertions

  class << self
    attr_reader :said, :checks

    def inherited(formula)
      super
      formula.instance_variable_set(:@said, {})
      formula.singleton_class.class_eval { attr_reader :said, :checks }
    end

    %i[desc homepage url sha256 license head depends_on version].each do |word|
      define_method(word) { |*values, **named| values.empty? && named.empty? ? @said[word] : @said[word] = [*values, named] }
    end

    def test(&block) = @checks = block
  end

  def initialize(program, prefix)
    @program, @prefix, @assertions = program, Pathname(prefix), 0
  end

  attr_reader :prefix

  def version = self.class.said[:version]&.first
  def bin = prefix/"bin"
  def opt_bin = bin
  def man1 = prefix/"share/man/man1"
  def buildpath = prefix/"build"
  def std_cargo_args = ["--locked", "--root=#{prefix}", "--path=."]

  def system(*command)
    if command.first == "cargo"
      command == ["cargo", "install", *std_cargo_args] or raise "not rehearsed: #{command}"
      bin.mkpath
      return FileUtils.cp(@program, bin/"guardian")
    end
    Kernel.system(*command.map(&:to_s)) or raise "#{command}: #{$CHILD_STATUS}"
  end

  FOLDERS = { bash: "etc/bash_completion.d/%s", zsh: "share/zsh/site-functions/_%s", fish: "share/fish/vendor_completions.d/%s.fish" }.freeze

  def generate_completions_from_executable(*command, shells:)
    shells.each do |shell|
      file = prefix/format(FOLDERS.fetch(shell), "guardian")
      file.dirname.mkpath
      file.write(Utils.popen_read(*command, shell))
    end
  end

  def shell_output(line)
    said, status = Open3.capture2(line)
    status.success? or raise "#{line}: #{status}"
    said
  end
end

formula, program, prefix = ARGV
load formula
it = Guardian.new(program, prefix)
it.install
FileUtils.rm_rf(it.buildpath)
it.instance_eval(&Guardian.checks)
files = Dir.glob("**/*", base: prefix).reject { |name| File.directory?(File.join(prefix, name)) }
puts JSON.generate(said: Guardian.said, caveats: it.caveats, files: files.sort, assertions: it.assertions)
