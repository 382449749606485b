// Licensed under the Apache License, Version 2.0; see LICENSE.
package io.github.beamml.expansion;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.apache.beam.sdk.testing.TestPipeline;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.values.PCollection;
import org.junit.After;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** Finding, starting and stopping the expansion service. */
public class ServiceTest {

  @Rule public final TemporaryFolder folder = new TemporaryFolder();

  @Rule
  public final TestPipeline pipeline = TestPipeline.create().enableAbandonedNodeEnforcement(false);

  @After
  public void forgetCommand() {
    System.clearProperty(ServiceProcess.COMMAND_VARIABLE);
  }

  private void assertRefused(String address, String message) {
    PCollection<Double> numbers = pipeline.apply("Numbers of " + address, Create.of(1.0));
    ExpansionException e =
        assertThrows(
            ExpansionException.class,
            () ->
                numbers.apply(
                    "Infer at " + address, Sums.ofNumbers().withExpansionService(address)));
    assertEquals(message, e.getMessage());
  }

  @Test
  public void anAddressWhereNothingListensIsToldPlainly() throws Exception {
    int port;
    try (ServerSocket socket = new ServerSocket(0)) {
      port = socket.getLocalPort();
    }
    assertRefused(
        "localhost:" + port,
        "no expansion service at localhost:"
            + port
            + "; start one with `beam-ml-expansion serve`, or leave the address "
            + "out and the client starts one");
  }

  @Test
  public void anAddressWithoutAPortIsToldPlainly() {
    assertRefused(
        "localhost", "expansion service: no address; got \"localhost\"; expected host:port");
  }

  @Test
  public void aServerThatIsNoExpansionServiceIsToldPlainly() throws Exception {
    try (ServerSocket socket = new ServerSocket(0)) {
      Thread closer =
          new Thread(
              () -> {
                try {
                  while (true) {
                    socket.accept().close();
                  }
                } catch (IOException e) {
                  // The test is over.
                }
              });
      closer.setDaemon(true);
      closer.start();
      PCollection<Double> numbers = pipeline.apply(Create.of(1.0));
      String address = "localhost:" + socket.getLocalPort();
      ExpansionException e =
          assertThrows(
              ExpansionException.class,
              () -> numbers.apply(Sums.ofNumbers().withExpansionService(address)));
      assertTrue(
          e.getMessage(),
          e.getMessage()
              .startsWith(
                  "the server at " + address + " did not answer as an expansion service: "));
    }
  }

  /** Makes a shell script the command that starts services. */
  private void command(String... lines) throws Exception {
    Path script = folder.getRoot().toPath().resolve("serve");
    Files.write(script, List.of("#!/bin/sh\n" + String.join("\n", lines)));
    Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwx------"));
    System.setProperty(ServiceProcess.COMMAND_VARIABLE, script.toString());
  }

  @Test
  public void aServiceIsStartedAndStopsWithItsStandardInput() throws Exception {
    Path stopped = folder.getRoot().toPath().resolve("stopped");
    command(
        "echo \"$@\" > " + folder.getRoot() + "/arguments",
        "echo Welcome",
        "echo LISTENING expansion=127.0.0.1:1234 job=127.0.0.1:5678 http=127.0.0.1:80",
        "cat > /dev/null",
        "touch " + stopped);
    try (ServiceProcess service = ServiceProcess.start(List.of("--local-runner"))) {
      assertEquals("127.0.0.1:1234", service.expansionAddress());
      assertEquals("127.0.0.1:5678", service.jobAddress());
      assertFalse(Files.exists(stopped));
    }
    assertTrue(Files.exists(stopped));
    assertEquals(
        List.of("serve --port 0 --http-port -1 --exit-with-parent --local-runner"),
        Files.readAllLines(folder.getRoot().toPath().resolve("arguments")));
  }

  @Test
  public void aServiceThatEndsAtOnceIsToldWithItsLastWords() throws Exception {
    command("echo 'no such extra: onnx' >&2", "exit 3");
    ExpansionException e =
        assertThrows(ExpansionException.class, () -> ServiceProcess.start(List.of()));
    assertTrue(
        e.getMessage(), e.getMessage().endsWith("ended with status 3:\nno such extra: onnx"));
  }

  @Test
  public void aMissingCommandIsToldWithARemedy() {
    System.setProperty(ServiceProcess.COMMAND_VARIABLE, "no-such-command");
    ExpansionException e =
        assertThrows(ExpansionException.class, () -> ServiceProcess.start(List.of()));
    assertTrue(
        e.getMessage(),
        e.getMessage()
            .startsWith("cannot run `no-such-command serve --port 0 --http-port -1 --exit-with-parent`: "));
    assertTrue(
        e.getMessage(), e.getMessage().endsWith("BEAM_ML_EXPANSION_COMMAND names the command"));
  }

  @Test
  public void localBeamNamesTheLibraryThatItMisses() {
    ExpansionException e = assertThrows(ExpansionException.class, LocalBeam::start);
    assertEquals(
        "LocalBeam needs org.apache.beam:beam-runners-portability-java on the class path at run"
            + " time; add it to the build",
        e.getMessage());
  }
}
