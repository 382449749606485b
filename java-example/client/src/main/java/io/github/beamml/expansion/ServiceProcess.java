// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A {@code beam-ml-expansion serve} of our own, on a free port. It lives as long as its standard
 * input, which this process holds: it ends with us, however we end.
 */
final class ServiceProcess implements AutoCloseable {

  static final String COMMAND_VARIABLE = "BEAM_ML_EXPANSION_COMMAND";

  private static final Logger LOG = LoggerFactory.getLogger("beam-ml-expansion");
  private static final Pattern LISTENING =
      Pattern.compile("LISTENING expansion=(\\S+)(?: job=(\\S+))?");
  private static final int START_TIMEOUT_SECS = 120;
  private static final int STOP_TIMEOUT_SECS = 10;
  private static final int LINES_KEPT = 20;

  private static ServiceProcess shared;

  private final Process process;
  private final CompletableFuture<Matcher> listening = new CompletableFuture<>();
  private final Deque<String> lastLines = new ArrayDeque<>();
  private final String expansionAddress;
  private final String jobAddress;

  private ServiceProcess(List<String> command) throws IOException {
    process = new ProcessBuilder(command).start();
    Thread errors = pump(process.getErrorStream(), "stderr", this::note);
    pump(
        process.getInputStream(),
        "stdout",
        line -> {
          Matcher matcher = LISTENING.matcher(line);
          if (matcher.find()) {
            listening.complete(matcher);
          }
        });
    process
        .onExit()
        .thenRun(() -> listening.completeExceptionally(new IOException(exitMessage(errors))));
    Matcher addresses = awaitListening(command);
    expansionAddress = addresses.group(1);
    jobAddress = addresses.group(2);
  }

  /** The service that this JVM's pipelines share; started by the first that needs it. */
  static synchronized ServiceProcess shared() {
    if (shared == null || !shared.process.isAlive()) {
      shared = start(List.of());
      Runtime.getRuntime().addShutdownHook(new Thread(shared::close, "beam-ml-expansion-stop"));
    }
    return shared;
  }

  /**
   * Starts a service and waits until it listens.
   *
   * @param arguments of {@code serve}, beside its port
   * @throws ExpansionException if there is no such command, or it ends or hangs
   */
  static ServiceProcess start(List<String> arguments) {
    List<String> command = new ArrayList<>(command());
    // Nobody would know the port of HTTP.
    command.addAll(List.of("serve", "--port", "0", "--http-port", "-1", "--exit-with-parent"));
    command.addAll(arguments);
    try {
      return new ServiceProcess(command);
    } catch (IOException e) {
      throw new ExpansionException(
          "cannot run `"
              + String.join(" ", command)
              + "`: "
              + e.getMessage()
              + "; "
              + COMMAND_VARIABLE
              + " names the command",
          e);
    }
  }

  /** host:port of the expansion service. */
  String expansionAddress() {
    return expansionAddress;
  }

  /** host:port of the job service; null without {@code --local-runner}. */
  String jobAddress() {
    return jobAddress;
  }

  @Override
  public void close() {
    try {
      process.getOutputStream().close();
      if (process.waitFor(STOP_TIMEOUT_SECS, TimeUnit.SECONDS)) {
        return;
      }
    } catch (IOException e) {
      LOG.debug("the service's standard input was closed already", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    process.destroyForcibly();
  }

  private static List<String> command() {
    String configured = System.getProperty(COMMAND_VARIABLE, System.getenv(COMMAND_VARIABLE));
    if (configured != null && !configured.isBlank()) {
      return new File(configured).canExecute()
          ? List.of(configured)
          : Arrays.asList(configured.trim().split("\\s+"));
    }
    String path = System.getenv("PATH") == null ? "" : System.getenv("PATH");
    boolean windows = System.getProperty("os.name").startsWith("Windows");
    for (String directory : path.split(File.pathSeparator)) {
      File file = new File(directory, windows ? "beam-ml-expansion.exe" : "beam-ml-expansion");
      if (file.canExecute() && file.isFile()) {
        return List.of(file.getPath());
      }
    }
    throw new ExpansionException(
        "no expansion service: no address was given, and there is no command `beam-ml-expansion` on"
            + " the PATH to start one; after `make setup` in a clone it is in .venv/bin; add that"
            + " to the PATH, or name the command in the environment variable "
            + COMMAND_VARIABLE
            + ", or give the address of a running service with withExpansionService or"
            + " --expansionService");
  }

  private Matcher awaitListening(List<String> command) {
    try {
      return listening.get(START_TIMEOUT_SECS, TimeUnit.SECONDS);
    } catch (ExecutionException e) {
      throw new ExpansionException(
          "`" + String.join(" ", command) + "` " + e.getCause().getMessage(), e);
    } catch (TimeoutException e) {
      process.destroyForcibly();
      throw new ExpansionException(
          "`" + String.join(" ", command) + "` did not listen within " + START_TIMEOUT_SECS + " s",
          e);
    } catch (InterruptedException e) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
      throw new ExpansionException("interrupted while the expansion service started", e);
    }
  }

  private String exitMessage(Thread errors) {
    try {
      errors.join(TimeUnit.SECONDS.toMillis(1));
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    synchronized (lastLines) {
      return "ended with status " + process.exitValue() + ":\n" + String.join("\n", lastLines);
    }
  }

  private void note(String line) {
    LOG.info("{}", line);
    synchronized (lastLines) {
      lastLines.addLast(line);
      if (lastLines.size() > LINES_KEPT) {
        lastLines.removeFirst();
      }
    }
  }

  private interface LineConsumer {
    void accept(String line);
  }

  private static Thread pump(InputStream stream, String name, LineConsumer consumer) {
    Thread thread =
        new Thread(
            () -> {
              try (BufferedReader reader =
                  new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8))) {
                for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                  consumer.accept(line);
                }
              } catch (IOException e) {
                LOG.debug("the service's {} was closed", name, e);
              }
            },
            "beam-ml-expansion-" + name);
    thread.setDaemon(true);
    thread.start();
    return thread;
  }
}
